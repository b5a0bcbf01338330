// LoadedModel: a GGUF model with its tokenizer, chat template and adapter, opened in two steps so
// that mistakes are found before weights are read.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "model/adapter.h"
#include "model/chat_template.h"
#include "model/gguf.h"
#include "model/llama.h"
#include "model/tokenizer.h"

namespace cairn {

class LoadedModel {
 public:
  /// Opens the files and reads headers. `adapter` is FILE or FILE=SCALE, or empty.
  static Result<std::unique_ptr<LoadedModel>> Open(const std::string& model,
                                                   const std::string& adapter);
  /// Reads and packs the weights.
  Status LoadWeights();

  const GgufFile& file() const { return file_; }
  const Adapter* adapter() const { return adapter_.has_value() ? &*adapter_ : nullptr; }
  double adapter_scale() const { return adapter_scale_; }
  /// Null for models without trained landmarks.
  const LandmarkInfo* landmark() const {
    return adapter_.has_value() && adapter_->landmark() ? &*adapter_->landmark() : nullptr;
  }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  /// kUnsupported if the model has no template cairn knows.
  Result<ChatTemplate> Template() const { return ChatTemplate::FromGguf(file_, tokenizer_); }
  /// After LoadWeights.
  Llama& llama() { return *llama_; }
  bool IsEnd(uint32_t token) const { return tokenizer_.eos() == token; }

 private:
  LoadedModel(GgufFile file, Tokenizer tokenizer)
      : file_(std::move(file)), tokenizer_(std::move(tokenizer)) {}

  GgufFile file_;
  Tokenizer tokenizer_;
  std::optional<Adapter> adapter_;
  double adapter_scale_ = 1.0;
  std::unique_ptr<Llama> llama_;
};

/// FILE or FILE=SCALE taken apart; the scale is 1 if none is given.
Result<std::pair<std::string, double>> ParseAdapterFlag(const std::string& text);

}  // namespace cairn
