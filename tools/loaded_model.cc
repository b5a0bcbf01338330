#include "tools/loaded_model.h"

#include <charconv>
#include <cmath>

#include "tools/installed_adapter.h"

namespace cairn {

Result<AdapterSource> ParseAdapterSource(const std::string& text) {
  AdapterSource source{text};
  const size_t equals = text.rfind('=');
  if (equals != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + equals + 1, end, source.scale);
    if (error != std::errc() || rest != end || !std::isfinite(source.scale)) {
      return Fail(Errc::kInvalidArgument,
                  "--adapter {}: '{}' is not a scale; write FILE or FILE=0.5", text,
                  text.substr(equals + 1));
    }
    source.path.resize(equals);
  }
  if (!source.path.empty()) {
    source.path = FindAdapter(source.path);
    return source;
  }
  return Fail(Errc::kInvalidArgument, "--adapter '{}' names no file; write FILE or FILE=0.5", text);
}

Result<std::unique_ptr<LoadedModel>> LoadedModel::Open(const std::string& model,
                                                       const std::vector<AdapterSource>& sources) {
  CAIRN_TRY(auto file, GgufFile::Open(model));
  CAIRN_TRY(Llama::CheckSupported(file));
  CAIRN_TRY(auto tokenizer, Tokenizer::FromGguf(file));
  const GgufTensor* embedding = file.Find("token_embd.weight");
  if (embedding != nullptr && embedding->Rows() < tokenizer.vocab_size()) {
    return Fail(Errc::kCorruption, "{}: {} tokens and an embedding of {}; convert it again", model,
                tokenizer.vocab_size(), embedding->Rows());
  }
  std::vector<Adapter> adapters;
  for (const AdapterSource& source : sources) {
    CAIRN_TRY(auto adapter, Adapter::Open(source.path, source.scale));
    adapters.push_back(std::move(adapter));
  }
  CAIRN_TRY(auto set, AdapterSet::Make(std::move(adapters)));
  CAIRN_TRY(set.CheckTargets(file));
  std::unique_ptr<LoadedModel> loaded(new LoadedModel(std::move(file), std::move(tokenizer)));
  loaded->adapters_ = std::move(set);
  return loaded;
}

Status LoadedModel::LoadWeights(std::optional<int32_t> device) {
  if (llama_ != nullptr) return Ok();
  CAIRN_TRY(llama_, Llama::Load(file_, adapters_, LinearKind::kFast, device));
  return Ok();
}

}  // namespace cairn
