#include "tools/why_json.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace cairn {
namespace {

using nlohmann::json;

/// Four digits: what follows is noise, and documents stay small.
double Rounded(double value) { return std::round(value * 1e4) / 1e4; }

json NumberOrNull(float value) { return std::isfinite(value) ? json(Rounded(value)) : json(); }

json BlockJson(const ReadBlock& read) {
  return {{"block", read.block},
          {"role", BlockRoleName(read.role)},
          {"log_weight", NumberOrNull(read.log_weight)},
          {"share", Rounded(read.share)},
          {"top_share", Rounded(read.top_share)},
          {"tier", StoreTierName(read.tier)}};
}

json HeadJson(const StepLog& log, const HeadLog& head) {
  json blocks = json::array();
  for (const ReadBlock& read : log.Of(head)) blocks.push_back(BlockJson(read));
  json next;
  if (head.runner_up >= 0) {
    next = {{"block", head.runner_up}, {"log_weight", NumberOrNull(head.runner_up_log_weight)}};
  }
  return {{"head", head.head},
          {"local_share", Rounded(head.local_share)},
          {"runner_up", next},
          {"blocks", blocks}};
}

json LayerJson(const LayerLog& layer) {
  const auto us = [](uint64_t ns) { return static_cast<double>(ns / 100) / 10; };
  return {{"layer", layer.layer},
          {"rows", layer.rows},
          {"search_us", us(layer.search_ns)},
          {"fetch_us", us(layer.fetch_ns)},
          {"wait_us", us(layer.wait_ns)},
          {"heads", json::array()}};
}

/// What was read for each token of the answer: a list of layers each.
std::map<int64_t, json> LayersByToken(const AnswerSources& sources) {
  std::map<std::pair<int64_t, int32_t>, json> layers;  // by token and layer
  for (const HeadLog& head : sources.log.heads) {
    const auto token = AnswerTokenOf(sources.shape, sources.place, head.row);
    if (!token.has_value()) continue;
    json& layer = layers[{*token, head.layer}];
    if (layer.is_null()) {
      for (const LayerLog& step : sources.log.layers) {
        const bool holds = head.row >= step.first_row && head.row < step.first_row + step.rows;
        if (holds && step.layer == head.layer) layer = LayerJson(step);
      }
    }
    layer["heads"].push_back(HeadJson(sources.log, head));
  }
  std::map<int64_t, json> lists;
  for (auto& [place, layer] : layers) {
    json& list = lists[place.first];
    if (list.is_null()) list = json::array();
    list.push_back(std::move(layer));
  }
  return lists;
}

json PassageJson(const Passage& passage, const SessionText& text) {
  return {{"block", passage.block},
          {"tokens", {text.Begin(passage.block), text.End(passage.block) - 1}},
          {"text", text.BlockText(passage.block)},
          {"share", Rounded(passage.share)},
          {"attention", Rounded(passage.attention)},
          {"times", passage.times},
          {"most_for",
           {{"token", passage.token},
            {"layer", passage.layer},
            {"head", passage.head},
            {"share", Rounded(passage.top_share)}}}};
}

}  // namespace

json WhyJson(const AnswerSources& sources, const SessionText& text, size_t count,
             std::optional<int64_t> token) {
  json passages = json::array();
  for (size_t i = 0; i < std::min(count, sources.passages.size()); ++i) {
    passages.push_back(PassageJson(sources.passages[i], text));
  }
  auto layers = LayersByToken(sources);
  json tokens = json::array();
  for (int64_t i = 0; i < std::ssize(sources.texts); ++i) {
    if (token.has_value() && *token != i) continue;
    json list = layers.contains(i) ? std::move(layers[i]) : json::array();
    tokens.push_back({{"token", i},
                      {"text", sources.texts[static_cast<size_t>(i)]},
                      {"weight", Rounded(sources.place.weights[static_cast<size_t>(i)])},
                      {"layers", std::move(list)}});
  }
  return {{"question", sources.question},
          {"answer", sources.answer.text},
          {"first_token", sources.place.first_token},
          {"passages", std::move(passages)},
          {"answer_tokens", std::move(tokens)}};
}

void AddDense(const AgainstDense& dense, const SessionText& text, json* document) {
  json missed = json::array();
  for (const MissedBlock& one : dense.missed) {
    missed.push_back({{"block", one.block},
                      {"tokens", {text.Begin(one.block), text.End(one.block) - 1}},
                      {"text", text.BlockText(one.block)},
                      {"times", one.times},
                      {"top_share", Rounded(one.top_share)}});
  }
  (*document)["dense"] = {{"covered", Rounded(dense.covered)}, {"missed", std::move(missed)}};
  for (json& passage : (*document)["passages"]) {
    const auto found = dense.attention.find(passage["block"].get<int64_t>());
    passage["dense_attention"] = found == dense.attention.end() ? 0 : Rounded(found->second);
  }
}

}  // namespace cairn
