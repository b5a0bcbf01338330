// LoadedModel: a GGUF model with its tokenizer, chat template and adapters, opened in two steps so
// that mistakes are found before weights are read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/adapter_set.h"
#include "model/chat_template.h"
#include "model/gguf.h"
#include "model/llama.h"
#include "model/tokenizer.h"

namespace cairn {

/// Where an adapter lies and what it is multiplied with.
struct AdapterSource {
  std::string path;
  double scale = 1.0;
};

/// FILE or FILE=SCALE taken apart; FILE may be the name of an installed adapter.
Result<AdapterSource> ParseAdapterSource(const std::string& text);

class LoadedModel {
 public:
  /// Opens the files and reads headers.
  static Result<std::unique_ptr<LoadedModel>> Open(const std::string& model,
                                                   const std::vector<AdapterSource>& adapters);
  /// Reads and packs the weights, on a device if its number is given. Does nothing the second time.
  Status LoadWeights(std::optional<int32_t> device = std::nullopt);
  /// After LoadWeights, before answers are made: Llama::PackForDecode.
  Status PackForDecode() { return llama_->PackForDecode(adapters_); }

  const GgufFile& file() const { return file_; }
  const AdapterSet& adapters() const { return adapters_; }
  /// Null for models without trained landmarks.
  const LandmarkInfo* landmark() const { return adapters_.landmark(); }
  /// Whether what follows a block's last token is predicted from the landmark behind it.
  bool predicts_from_landmarks() const { return landmark() != nullptr && landmark()->in_loss; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  /// kUnsupported if the model has no template cairn knows.
  Result<ChatTemplate> Template() const { return ChatTemplate::FromGguf(file_, tokenizer_); }
  /// After LoadWeights.
  Llama& llama() { return *llama_; }

 private:
  LoadedModel(GgufFile file, Tokenizer tokenizer)
      : file_(std::move(file)), tokenizer_(std::move(tokenizer)) {}

  GgufFile file_;
  Tokenizer tokenizer_;
  AdapterSet adapters_;
  std::unique_ptr<Llama> llama_;
};

}  // namespace cairn
