#include "tools/session_profile.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
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

Error Unreadable() {
  return Fail(Errc::kCorruption,
              "the session's profile cannot be read; it was not made by "
              "`cairn`, or by another version of it");
}

constexpr int64_t kMostTokens = int64_t{1} << 48;  // so that they can be added

/// A whole number from 0 to `most`. The JSON library would convert any other to something.
Result<int64_t> Number(const json& j, const char* name, int64_t most) {
  const json& value = j.at(name);
  const int64_t number = value.is_number_integer() ? value.get<int64_t>() : -1;
  if (number < 0 || number > most) return Unreadable();
  return number;
}

Result<int> SmallNumber(const json& j, const char* name) {
  CAIRN_TRY(const int64_t number, Number(j, name, std::numeric_limits<int>::max()));
  return static_cast<int>(number);
}

Status ReadIngest(const json& j, IngestRecord* i) {
  i->hash = j.at("hash");
  i->source = j.at("source");
  CAIRN_TRY(i->limit, Number(j, "limit", std::numeric_limits<int64_t>::max()));
  CAIRN_TRY(i->start_token, Number(j, "start", kMostTokens));
  CAIRN_TRY(i->tokens, Number(j, "tokens", kMostTokens));
  i->opens_turn = j.at("opens_turn");
  i->done = j.at("done");
  return Ok();
}

AdapterRecord ReadAdapter(const json& j) {
  return {j.at("path"), j.at("fingerprint"), j.at("scale")};
}

constexpr std::string_view kAdapterRemedy =
    "leave --adapter out to use what the session remembers, or use another --session";

/// Whether the record is of this file, whatever the scale.
bool IsFileOf(const Adapter& file, const AdapterRecord& record) {
  return file.FingerprintAt(record.scale) == record.fingerprint;
}

std::string Listed(const std::vector<AdapterRecord>& adapters) {
  std::vector<std::string> each;
  for (const auto& [path, fingerprint, scale] : adapters) {
    each.push_back(fmt::format("adapter {}, scale {}", path, scale));
  }
  return each.empty() ? "no adapter" : fmt::format("{}", fmt::join(each, "; "));
}

Status ReadProfile(const json& j, SessionProfile* p) {
  p->model_path = j.at("model").at("path");
  p->model_fingerprint = j.at("model").at("fingerprint");
  if (j.at("model").contains("caller")) p->caller = j.at("model").at("caller");
  if (j.contains("adapters")) {
    for (const json& adapter : j.at("adapters")) p->adapters.push_back(ReadAdapter(adapter));
  } else if (!j.at("adapter").is_null()) {  // the form of sessions made before there were several
    p->adapters.push_back(ReadAdapter(j.at("adapter")));
  }
  const json& options = j.at("options");
  p->mode =
      options.at("mode") == "landmark" ? AttentionMode::kLandmark : AttentionMode::kUnmodified;
  CAIRN_TRY(p->block_tokens, SmallNumber(options, "block_tokens"));
  CAIRN_TRY(p->representatives, SmallNumber(options, "representatives"));
  CAIRN_TRY(p->chunk, SmallNumber(options, "chunk"));
  if (p->block_tokens == 0 || p->chunk < 2) return Unreadable();
  p->raw = options.at("raw");
  CAIRN_TRY(p->kv_type, ParseDType(options.at("kv_type").get<std::string>()));
  CAIRN_TRY(p->selection, ParseSelection(options.at("selection").get<std::string>()));
  p->turn_open = j.at("turn_open");
  for (const json& ingest : j.at("ingests")) {
    CAIRN_TRY(ReadIngest(ingest, &p->ingests.emplace_back()));
  }
  if (j.contains("beginning")) {  // sessions made before it was kept share nothing
    const json& beginning = j.at("beginning");
    CAIRN_TRY(p->beginning.tokens, Number(beginning, "tokens", kMostTokens));
    p->beginning.reading = beginning.at("reading");
  }
  return Ok();
}

}  // namespace

std::string SessionProfile::ToJson() const {
  json ingest_list = json::array();
  for (const IngestRecord& ingest : ingests) ingest_list.push_back(IngestJson(ingest));
  json adapter_list = json::array();
  for (const AdapterRecord& adapter : adapters) {
    adapter_list.push_back(
        {{"path", adapter.path}, {"fingerprint", adapter.fingerprint}, {"scale", adapter.scale}});
  }
  json model{{"path", model_path}, {"fingerprint", model_fingerprint}};
  if (!caller.empty()) model["caller"] = caller;
  const json j{{"model", model},
               {"adapters", adapter_list},
               {"options", ShapingOptions(*this)},
               {"turn_open", turn_open},
               {"ingests", ingest_list},
               {"beginning", {{"tokens", beginning.tokens}, {"reading", beginning.reading}}}};
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<SessionProfile> SessionProfile::FromJson(const std::string& text) {
  SessionProfile profile;
  try {  // the JSON library reports by exception; this is its adapter
    CAIRN_TRY(ReadProfile(json::parse(text), &profile));
  } catch (const json::exception&) {
    return Unreadable();
  }
  return profile;
}

std::string SessionProfile::DigestText() const {
  // In no order, as they are merged; none and one as they were before there were several.
  std::vector<std::string> fingerprints;
  for (const AdapterRecord& adapter : adapters) fingerprints.push_back(adapter.fingerprint);
  std::sort(fingerprints.begin(), fingerprints.end());
  const json j{{"model", model_fingerprint},
               {"adapter", fmt::format("{}", fmt::join(fingerprints, "+"))},
               {"options", ShapingOptions(*this)}};
  return j.dump();
}

Status SessionProfile::CheckOwnModel(const std::string& session) const {
  if (caller.empty()) return Ok();
  return Fail(Errc::kMismatch,
              "session '{}' is of the model '{}', which another program runs; cairn does not have "
              "that model, so only that program can go on with it and knows its text",
              session, caller);
}

std::string SessionProfile::WhyNotAlike(const SessionProfile& other) const {
  if (model_fingerprint != other.model_fingerprint) return "it has another model";
  if (DigestText() == other.DigestText()) return "";
  const std::string options = ShapingOptions(*this).dump();
  if (options != ShapingOptions(other).dump()) return fmt::format("it was made with {}", options);
  return "it has other adapters";
}

bool SessionProfile::CanEndAt(int64_t token) const {
  return raw || token == 0 || std::ranges::any_of(ingests, [&](const IngestRecord& ingest) {
           return ingest.start_token <= token && token <= ingest.start_token + ingest.tokens;
         });
}

void SessionProfile::EndAt(int64_t token) {
  turn_open = false;
  beginning.tokens = LastStepEnd(*this, std::min(token, beginning.tokens), false);
  for (const IngestRecord& ingest : ingests) {
    if (raw || token == 0) break;
    const int64_t end = ingest.start_token + ingest.tokens;
    if (ingest.start_token == token) turn_open = !ingest.opens_turn;
    if (ingest.start_token < token && token <= end) turn_open = true;
  }
  std::erase_if(ingests, [&](const IngestRecord& i) { return i.start_token >= token; });
  if (ingests.empty()) return;
  IngestRecord& last = ingests.back();
  if (last.start_token + last.tokens > token) last.done = false;
}

void SessionProfile::EndText(int64_t token) {
  if (ingests.empty() || ingests.back().done) return;
  IngestRecord& text = ingests.back();
  text.tokens = token - text.start_token;
  text.hash.clear();
  text.done = true;
}

Status SessionProfile::CheckAdapters(const std::string& session, const AdapterSet& given) const {
  const std::vector<Adapter>& files = given.adapters();
  for (const AdapterRecord& record : adapters) {
    const auto same = std::find_if(files.begin(), files.end(),
                                   [&](const Adapter& file) { return IsFileOf(file, record); });
    if (same != files.end() && same->Fingerprint() != record.fingerprint) {
      return Fail(Errc::kMismatch,
                  "adapter {} has scale {}, session '{}' was made with scale {}; give that, or "
                  "leave --adapter out",
                  same->path(), same->user_scale(), session, record.scale);
    }
    const auto there = std::find_if(files.begin(), files.end(), [&](const Adapter& file) {
      return file.path() == record.path;
    });
    if (same == files.end() && there != files.end()) {
      return Fail(Errc::kMismatch,
                  "the file at {} has changed since session '{}' was made with it (fingerprint {}, "
                  "then {}); bring it back, or read the text again into another --session",
                  record.path, session, there->FingerprintAt(record.scale), record.fingerprint);
    }
  }
  const bool landmarks = mode == AttentionMode::kLandmark;
  const std::string made = fmt::format("session '{}' was made {} landmarks ({})", session,
                                       landmarks ? "with" : "without", Listed(adapters));
  if (landmarks && given.landmark() == nullptr) {
    return Fail(Errc::kMismatch, "{}, this command gives {}; {}", made,
                files.empty() ? "no adapter" : "adapters without", kAdapterRemedy);
  }
  for (const AdapterRecord& record : adapters) {
    if (std::none_of(files.begin(), files.end(),
                     [&](const Adapter& file) { return IsFileOf(file, record); })) {
      return Fail(Errc::kMismatch, "{}, this command does not give adapter {}; {}", made,
                  record.path, kAdapterRemedy);
    }
  }
  for (const Adapter& file : files) {
    if (std::none_of(adapters.begin(), adapters.end(),
                     [&](const AdapterRecord& record) { return IsFileOf(file, record); })) {
      return Fail(Errc::kMismatch, "{}, adapter {}{} was not part of it; {}", made, file.path(),
                  file.landmark().has_value() ? " (with landmarks)" : "", kAdapterRemedy);
    }
  }
  return Ok();
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
