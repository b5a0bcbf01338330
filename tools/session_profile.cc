#include "tools/session_profile.h"

#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using nlohmann::json;

json ShapingOptions(const SessionProfile& p) {
  return {{"mode", AttentionModeName(p.mode)},
          {"block_tokens", p.block_tokens},
          {"representatives", p.representatives},
          {"kv_type", DTypeName(p.kv_type)},
          {"chunk", p.chunk},
          {"selection", SelectionName(p.selection)},
          {"raw", p.raw}};
}

json IngestJson(const IngestRecord& i) {
  return {{"hash", i.hash},         {"source", i.source}, {"limit", i.limit},
          {"start", i.start_token}, {"tokens", i.tokens}, {"opens_turn", i.opens_turn},
          {"done", i.done}};
}

void ReadIngest(const json& j, IngestRecord* i) {
  i->hash = j.at("hash");
  i->source = j.at("source");
  i->limit = j.at("limit");
  i->start_token = j.at("start");
  i->tokens = j.at("tokens");
  i->opens_turn = j.at("opens_turn");
  i->done = j.at("done");
}

Status ReadProfile(const json& j, SessionProfile* p) {
  p->model_path = j.at("model").at("path");
  p->model_fingerprint = j.at("model").at("fingerprint");
  if (!j.at("adapter").is_null()) {
    p->adapter_path = j.at("adapter").at("path");
    p->adapter_fingerprint = j.at("adapter").at("fingerprint");
    p->adapter_scale = j.at("adapter").at("scale");
  }
  const json& options = j.at("options");
  p->mode =
      options.at("mode") == "landmark" ? AttentionMode::kLandmark : AttentionMode::kUnmodified;
  p->block_tokens = options.at("block_tokens");
  p->representatives = options.at("representatives");
  p->chunk = options.at("chunk");
  p->raw = options.at("raw");
  CAIRN_TRY(p->kv_type, ParseDType(options.at("kv_type").get<std::string>()));
  CAIRN_TRY(p->selection, ParseSelection(options.at("selection").get<std::string>()));
  p->turn_open = j.at("turn_open");
  for (const json& ingest : j.at("ingests")) ReadIngest(ingest, &p->ingests.emplace_back());
  return Ok();
}

}  // namespace

std::string SessionProfile::ToJson() const {
  json ingest_list = json::array();
  for (const IngestRecord& ingest : ingests) ingest_list.push_back(IngestJson(ingest));
  json adapter;
  if (!adapter_path.empty()) {
    adapter = {
        {"path", adapter_path}, {"fingerprint", adapter_fingerprint}, {"scale", adapter_scale}};
  }
  const json j{{"model", {{"path", model_path}, {"fingerprint", model_fingerprint}}},
               {"adapter", adapter},
               {"options", ShapingOptions(*this)},
               {"turn_open", turn_open},
               {"ingests", ingest_list}};
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<SessionProfile> SessionProfile::FromJson(const std::string& text) {
  SessionProfile profile;
  try {  // the JSON library reports by exception; this is its adapter
    CAIRN_TRY(ReadProfile(json::parse(text), &profile));
  } catch (const json::exception&) {
    return Fail(Errc::kCorruption,
                "the session's profile cannot be read; it was not made by "
                "`cairn`, or by another version of it");
  }
  return profile;
}

std::string SessionProfile::DigestText() const {
  const json j{{"model", model_fingerprint},
               {"adapter", adapter_fingerprint},
               {"options", ShapingOptions(*this)}};
  return j.dump();
}

SessionShape SessionProfile::Shape(const LlamaConfig& config, const LandmarkInfo* landmark) const {
  SessionShape shape;
  shape.layers = config.layers;
  shape.query_heads = config.query_heads;
  shape.kv_heads = config.kv_heads;
  shape.mode = mode;
  shape.block.block_rows = block_tokens + (mode == AttentionMode::kLandmark ? 1 : 0);
  shape.block.head_dim = config.head_dim;
  shape.block.dtype = kv_type;
  shape.representatives = representatives;
  shape.context_rows = landmark != nullptr ? landmark->trained_context : config.context;
  shape.rope_style = config.rope_style;
  shape.inverse_frequencies = config.inverse_frequencies;
  return shape;
}

}  // namespace cairn
