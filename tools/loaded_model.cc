#include "tools/loaded_model.h"

#include <charconv>
#include <cmath>

namespace cairn {

Result<std::pair<std::string, double>> ParseAdapterFlag(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos) return std::make_pair(text, 1.0);
  double scale = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + equals + 1, end, scale);
  if (error != std::errc() || rest != end || !std::isfinite(scale)) {
    return Fail(Errc::kInvalidArgument, "--adapter {}: '{}' is not a scale; write FILE or FILE=0.5",
                text, text.substr(equals + 1));
  }
  return std::make_pair(text.substr(0, equals), scale);
}

Result<std::unique_ptr<LoadedModel>> LoadedModel::Open(const std::string& model,
                                                       const std::string& adapter) {
  CAIRN_TRY(auto file, GgufFile::Open(model));
  CAIRN_TRY(Llama::CheckSupported(file));
  CAIRN_TRY(auto tokenizer, Tokenizer::FromGguf(file));
  std::unique_ptr<LoadedModel> loaded(new LoadedModel(std::move(file), std::move(tokenizer)));
  if (!adapter.empty()) {
    CAIRN_TRY(auto parsed, ParseAdapterFlag(adapter));
    CAIRN_TRY(loaded->adapter_, Adapter::Open(parsed.first, static_cast<float>(parsed.second)));
    CAIRN_TRY(loaded->adapter_->CheckTargets(loaded->file_));
    loaded->adapter_scale_ = parsed.second;
  }
  return loaded;
}

Status LoadedModel::LoadWeights() {
  if (llama_ != nullptr) return Ok();
  CAIRN_TRY(llama_, Llama::Load(file_, adapter(), LinearKind::kFast));
  return Ok();
}

}  // namespace cairn
