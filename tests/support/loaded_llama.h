// LoadedLlama: a model with what it needs to run, opened or failed with a message.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/options.h"
#include "model/adapter.h"
#include "model/llama.h"

namespace cairn::test {

/// Members are null or empty after a failure, which is a fatal one of the test.
struct LoadedLlama {
  /// `adapter_path` may be empty.
  LoadedLlama(const std::string& path, const std::string& adapter_path, LinearKind kind) {
    Open(path, adapter_path, kind);
  }

  const LandmarkInfo* landmark() const {
    return adapter.has_value() && adapter->landmark() ? &*adapter->landmark() : nullptr;
  }
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
  std::optional<Adapter> adapter;
  std::unique_ptr<Llama> llama;

 private:
  void Open(const std::string& path, const std::string& adapter_path, LinearKind kind) {
    auto opened = GgufFile::Open(path);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    file.emplace(std::move(opened).value());
    if (!adapter_path.empty()) {
      auto opened_adapter = Adapter::Open(adapter_path);
      ASSERT_TRUE(opened_adapter.has_value()) << opened_adapter.error().message;
      adapter.emplace(std::move(opened_adapter).value());
    }
    auto loaded = Llama::Load(*file, adapter.has_value() ? &*adapter : nullptr, kind);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    llama = std::move(loaded).value();
  }
};

}  // namespace cairn::test
