// LoadedLlama: a model with what it needs to run, opened or failed with a message.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/options.h"
#include "model/adapter_set.h"
#include "model/llama.h"

namespace cairn::test {

struct ScaledAdapter {
  std::string path;
  double scale = 1.0;
};

/// Members are null or empty after a failure, which is a fatal one of the test.
struct LoadedLlama {
  /// `adapter_path` may be empty.
  LoadedLlama(const std::string& path, const std::string& adapter_path, LinearKind kind,
              std::optional<int32_t> device = std::nullopt) {
    std::vector<ScaledAdapter> scaled;
    if (!adapter_path.empty()) scaled.push_back({adapter_path});
    Open(path, scaled, kind, device);
  }
  LoadedLlama(const std::string& path, const std::vector<ScaledAdapter>& scaled, LinearKind kind) {
    Open(path, scaled, kind);
  }

  const LandmarkInfo* landmark() const { return adapters.landmark(); }
  /// A session shape for it; unmodified blocks have `regular_tokens` rows.
  SessionShape Shape(int32_t regular_tokens, DType kv_type) const {
    SessionShape shape;
    shape.layers = llama->config().layers;
    shape.query_heads = llama->config().query_heads;
    shape.kv_heads = llama->config().kv_heads;
    shape.mode = landmark() != nullptr ? AttentionMode::kLandmark : AttentionMode::kUnmodified;
    shape.block = {landmark() != nullptr ? landmark()->regular_tokens + 1 : regular_tokens,
                   llama->config().head_dim, kv_type};
    shape.context_rows = llama->config().context;
    shape.rope_style = llama->config().rope_style;
    shape.inverse_frequencies = llama->config().inverse_frequencies;
    return shape;
  }

  std::optional<GgufFile> file;
  AdapterSet adapters;
  std::unique_ptr<Llama> llama;

 private:
  void Open(const std::string& path, const std::vector<ScaledAdapter>& scaled, LinearKind kind,
            std::optional<int32_t> device = std::nullopt) {
    auto opened = GgufFile::Open(path);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    file.emplace(std::move(opened).value());
    std::vector<Adapter> opened_adapters;
    for (const auto& [adapter_path, scale] : scaled) {
      auto adapter = Adapter::Open(adapter_path, scale);
      ASSERT_TRUE(adapter.has_value()) << adapter.error().message;
      opened_adapters.push_back(std::move(adapter).value());
    }
    auto made = AdapterSet::Make(std::move(opened_adapters));
    ASSERT_TRUE(made.has_value()) << made.error().message;
    adapters = std::move(made).value();
    auto loaded = Llama::Load(*file, adapters, kind, device);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    llama = std::move(loaded).value();
  }
};

}  // namespace cairn::test
