#include "tools/eval_record.h"

#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using nlohmann::json;

json AnswerJson(const EvalAnswer& a) {
  json j{{"kind", a.kind},
         {"bin", a.bin},
         {"depth", a.depth},
         {"positions", a.positions},
         {"question", a.question},
         {"value", a.value},
         {"answer", a.answer},
         {"right", a.right},
         {"contains", a.contains},
         {"question_tokens", a.question_tokens},
         {"answer_tokens", a.answer_tokens},
         {"seconds_to_first", a.seconds_to_first},
         {"seconds_per_token", a.seconds_per_token}};
  if (a.passage_rank.has_value()) j["passage_rank"] = *a.passage_rank;
  return j;
}

EvalAnswer ReadAnswer(const json& j) {
  EvalAnswer a;
  a.kind = j.at("kind");
  a.bin = j.at("bin");
  a.depth = j.at("depth");
  a.positions = j.at("positions").get<std::vector<int64_t>>();
  a.question = j.at("question");
  a.value = j.at("value");
  a.answer = j.at("answer");
  a.right = j.at("right");
  a.contains = j.at("contains");
  a.question_tokens = j.at("question_tokens");
  a.answer_tokens = j.at("answer_tokens");
  a.seconds_to_first = j.at("seconds_to_first");
  a.seconds_per_token = j.at("seconds_per_token");
  if (j.contains("passage_rank")) a.passage_rank = j.at("passage_rank").get<int64_t>();
  return a;
}

json TierJson(const EvalTier& t) {
  return {{"tier", t.tier},
          {"fetched_blocks", t.fetched_blocks},
          {"hit_blocks", t.hit_blocks},
          {"bytes_in", t.bytes_in}};
}

EvalTier ReadTier(const json& j) {
  return {j.at("tier"), j.at("fetched_blocks"), j.at("hit_blocks"), j.at("bytes_in")};
}

}  // namespace

json EvalRecord::ToJson() const {
  json j{{"length", length},
         {"text", text},
         {"hash", hash},
         {"tokens", tokens},
         {"tokens_read", tokens_read},
         {"seconds", seconds},
         {"stored_bytes", stored_bytes},
         {"answers", json::array()},
         {"tiers", json::array()}};
  for (const EvalAnswer& answer : answers) j["answers"].push_back(AnswerJson(answer));
  for (const EvalTier& tier : tiers) j["tiers"].push_back(TierJson(tier));
  return j;
}

Result<EvalRecord> EvalRecord::FromJson(const json& j) {
  EvalRecord record;
  try {  // the JSON library reports by exception; this is its adapter
    record.length = j.at("length");
    record.text = j.at("text");
    record.hash = j.at("hash");
    record.tokens = j.at("tokens");
    record.tokens_read = j.at("tokens_read");
    record.seconds = j.at("seconds");
    record.stored_bytes = j.at("stored_bytes");
    for (const json& answer : j.at("answers")) record.answers.push_back(ReadAnswer(answer));
    for (const json& tier : j.at("tiers")) record.tiers.push_back(ReadTier(tier));
  } catch (const json::exception&) {
    return Fail(Errc::kCorruption, "a line is no record of a text");
  }
  return record;
}

}  // namespace cairn
