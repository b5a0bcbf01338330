#include <algorithm>

#include "base/absolute_path.h"
#include "capi/guard.h"
#include "capi/handles.h"

namespace cairn::capi {
namespace {

Result<std::unique_ptr<cairn_model>> Load(const char* file, const char* const* adapters,
                                          size_t count, const cairn_options* options) {
  RunOptions run;
  for (size_t i = 0; i < count; ++i) {
    CAIRN_TRY(Given({{adapters[i], "an adapter"}}));
    run.adapters.emplace_back(adapters[i]);
  }
  auto model = std::make_unique<cairn_model>();
  if (options != nullptr) {
    CAIRN_TRY(model->device, ParseDevice(options->run.device.value_or("cpu")));
  }
  // Sessions remember the paths: they are those of now, whatever directory is the current one then.
  CAIRN_TRY(auto sources, run.AdapterSources());
  for (AdapterSource& source : sources) source.path = AbsolutePath(source.path);
  CAIRN_TRY(model->loaded, LoadedModel::Open(AbsolutePath(file), sources));
  CAIRN_TRY(model->loaded->LoadWeights(model->device));
  return model;
}

}  // namespace

Status CheckTokens(const cairn_model& model, std::span<const uint32_t> tokens) {
  const uint32_t known = model.loaded->tokenizer().vocab_size();
  for (const uint32_t token : tokens) {
    if (token < known) continue;
    return Fail(Errc::kInvalidArgument, "the model {} has {} tokens and no token {}",
                model.loaded->file().path(), known, token);
  }
  return Ok();
}

}  // namespace cairn::capi

using cairn::Errc;
using cairn::Fail;
using cairn::Ok;
using cairn::Status;
using cairn::capi::Given;
using cairn::capi::Guard;

cairn_status cairn_model_load(const char* file, const char* const* adapters, size_t count,
                              cairn_model** model) {
  return cairn_model_load_with(file, adapters, count, nullptr, model);
}

cairn_status cairn_model_load_with(const char* file, const char* const* adapters, size_t count,
                                   const cairn_options* options, cairn_model** model) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{file, "file"}, {model, "model"}}));
    if (count > 0) CAIRN_TRY(Given({{adapters, "adapters"}}));
    CAIRN_TRY(auto loaded, cairn::capi::Load(file, adapters, count, options));
    *model = loaded.release();
    return Ok();
  });
}

cairn_status cairn_model_free(cairn_model* model) {
  return Guard([&]() -> Status {
    if (model != nullptr && model->sessions > 0) {
      return Fail(Errc::kBusy, "{} sessions use the model {}; close them first", model->sessions,
                  model->loaded->file().path());
    }
    std::unique_ptr<cairn_model>{model};
    return Ok();
  });
}

cairn_status cairn_model_tokenize(const cairn_model* model, const char* text, size_t bytes,
                                  uint32_t* tokens, size_t capacity, size_t* count) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{model, "model"}, {text, "text"}, {count, "count"}}));
    if (capacity > 0) CAIRN_TRY(Given({{tokens, "tokens"}}));
    const auto all = model->loaded->tokenizer().EncodeAtStart(std::string_view(text, bytes));
    std::copy_n(all.begin(), std::min(capacity, all.size()), tokens);
    *count = all.size();
    return Ok();
  });
}

cairn_status cairn_model_token_text(const cairn_model* model, uint32_t token, char* text,
                                    size_t capacity, size_t* bytes) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{model, "model"}, {bytes, "bytes"}}));
    if (capacity > 0) CAIRN_TRY(Given({{text, "text"}}));
    CAIRN_TRY(cairn::capi::CheckTokens(*model, {&token, 1}));
    const std::string all = model->loaded->tokenizer().Decode(token);
    std::copy_n(all.begin(), std::min(capacity, all.size()), text);
    *bytes = all.size();
    return Ok();
  });
}
