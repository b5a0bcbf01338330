#include "tools/eval_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/byte_size.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr double kZ95 = 1.959963984540054;  // of a normal distribution, 95 % within

double Ratio(double amount, double of) { return of > 0 ? amount / of : 0; }

void Add(const EvalTier& tier, std::vector<EvalTier>* sums) {
  auto sum = std::ranges::find(*sums, tier.tier, &EvalTier::tier);
  if (sum == sums->end()) sum = sums->insert(sums->end(), EvalTier{tier.tier});
  sum->fetched_blocks += tier.fetched_blocks;
  sum->hit_blocks += tier.hit_blocks;
  sum->bytes_in += tier.bytes_in;
}

void Add(const EvalRecord& record, LengthReport* report) {
  ++report->texts;
  report->tokens_read += record.tokens_read;
  report->read_seconds += record.seconds;
  report->stored_bytes = std::max(report->stored_bytes, record.stored_bytes);
  for (const EvalAnswer& answer : record.answers) {
    report->all.Add(answer);
    const auto bin = static_cast<size_t>(answer.bin);
    if (bin < report->depths.size()) report->depths[bin].Add(answer);
    report->kinds[answer.kind].Add(answer);
    report->answer_tokens += answer.answer_tokens;
    report->answer_seconds += answer.seconds_per_token * static_cast<double>(answer.answer_tokens);
  }
  for (const EvalTier& tier : record.tiers) Add(tier, &report->tiers);
}

json TallyJson(const Tally& tally) {
  const Interval interval = WilsonInterval(tally.found, tally.asked);
  json j{{"asked", tally.asked},
         {"found", tally.found},
         {"contains", tally.contains},
         {"accuracy", tally.accuracy()},
         {"interval", {interval.low, interval.high}}};
  if (tally.ranked > 0) {
    j["passages"] = {
        {"right", tally.ranked}, {"first", tally.first}, {"first_three", tally.first_three}};
  }
  return j;
}

std::string FoundOfAsked(const Tally& tally) {
  return fmt::format("{}/{}", tally.found, tally.asked);
}

std::string AccuracyCell(const Tally& tally) {
  return tally.asked == 0 ? "-" : fmt::format("{:.2f}", tally.accuracy());
}

}  // namespace

Interval WilsonInterval(int64_t found, int64_t asked) {
  if (asked == 0) return {};
  const auto n = static_cast<double>(asked);
  const double p = static_cast<double>(found) / n;
  const double z2 = kZ95 * kZ95;
  const double center = p + z2 / (2 * n);
  const double half = kZ95 * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At the ends the exact bound is 0 or 1; rounding must not miss it.
  return {found == 0 ? 0 : (center - half) / (1 + z2 / n),
          found == asked ? 1 : (center + half) / (1 + z2 / n)};
}

void Tally::Add(const EvalAnswer& answer) {
  ++asked;
  found += answer.right ? 1 : 0;
  contains += answer.contains ? 1 : 0;
  if (!answer.right || !answer.passage_rank.has_value()) return;
  const int64_t rank = *answer.passage_rank;
  ++ranked;
  first += rank == 1 ? 1 : 0;
  first_three += rank >= 1 && rank <= 3 ? 1 : 0;
}

double LengthReport::tokens_per_second() const {
  return Ratio(static_cast<double>(tokens_read), read_seconds);
}

double LengthReport::ms_per_answer_token() const {
  return 1000 * Ratio(answer_seconds, static_cast<double>(answer_tokens));
}

std::string LengthName(int64_t tokens) {
  constexpr int64_t k = 1024;
  if (tokens % (k * k) == 0) return fmt::format("{}M", tokens / (k * k));
  if (tokens % k == 0) return fmt::format("{}k", tokens / k);
  return std::to_string(tokens);
}

EvalReport::EvalReport(const std::vector<int64_t>& lengths, int depths,
                       const std::vector<EvalRecord>& records)
    : depths_(depths) {
  for (const int64_t length : lengths) {
    LengthReport& report = lengths_.emplace_back();
    report.length = length;
    report.depths.resize(static_cast<size_t>(depths));
    for (const EvalRecord& record : records) {
      if (record.length == length) Add(record, &report);
    }
  }
}

int EvalReport::DepthsWidth() const { return std::max(8, 5 * depths_); }

std::string EvalReport::Table() const {
  std::string text =
      fmt::format("{:<8} {:>11} {:>9} {:>15}  {:<{}} {:>9} {:>9}\n", "length", "found/asked",
                  "accuracy", "95 % interval", "by depth", DepthsWidth(), "tokens/s", "ms/token");
  for (const LengthReport& length : lengths_) {
    const Interval interval = WilsonInterval(length.all.found, length.all.asked);
    text +=
        fmt::format("{:<8} {:>11} {:>9.3f} {:>6.3f} to {:.3f}  ", LengthName(length.length),
                    FoundOfAsked(length.all), length.all.accuracy(), interval.low, interval.high);
    std::string depths;
    for (const Tally& depth : length.depths) depths += fmt::format("{:<5}", AccuracyCell(depth));
    text += fmt::format("{:<{}} {:>9.0f} {:>9.1f}\n", depths, DepthsWidth(),
                        length.tokens_per_second(), length.ms_per_answer_token());
  }
  return text + PassagesTable() + KindsTable() + TiersTable();
}

std::string EvalReport::PassagesTable() const {
  std::string text;
  for (const LengthReport& length : lengths_) {
    const Tally& all = length.all;
    if (all.ranked == 0) continue;
    const Interval interval = WilsonInterval(all.first_three, all.ranked);
    std::string depths;
    for (const Tally& depth : length.depths) {
      depths += fmt::format(" {}/{}", depth.first_three, depth.ranked);
    }
    text += fmt::format(
        "{:<8} of {} right answers `why` names the fact first in {}, among three in {} "
        "({:.3f} to {:.3f});{}\n",
        LengthName(length.length), all.ranked, all.first, all.first_three, interval.low,
        interval.high, depths);
  }
  return text.empty() ? text : "\n" + text;
}

std::string EvalReport::KindsTable() const {
  std::set<std::string> kinds;
  for (const LengthReport& length : lengths_) {
    for (const auto& [kind, tally] : length.kinds) kinds.insert(kind);
  }
  if (kinds.size() < 2) return "";
  std::string text = fmt::format("\n{:<8}", "length");
  for (const std::string& kind : kinds) text += fmt::format(" {:>9}", kind);
  text += "\n";
  for (const LengthReport& length : lengths_) {
    text += fmt::format("{:<8}", LengthName(length.length));
    for (const std::string& kind : kinds) {
      const auto tally = length.kinds.find(kind);
      text +=
          fmt::format(" {:>9}", tally == length.kinds.end() ? "-" : FoundOfAsked(tally->second));
    }
    text += "\n";
  }
  return text;
}

std::string EvalReport::TiersTable() const {
  std::string text = fmt::format("\n{:<8} {:<8} {:>12} {:>12} {:>11} {:>11}\n", "length", "tier",
                                 "fetches", "hits", "bytes in", "stored");
  for (const LengthReport& length : lengths_) {
    for (const EvalTier& tier : length.tiers) {
      text += fmt::format("{:<8} {:<8} {:>12} {:>12} {:>11} {:>11}\n", LengthName(length.length),
                          tier.tier, tier.fetched_blocks, tier.hit_blocks,
                          FormatByteSize(tier.bytes_in), FormatByteSize(length.stored_bytes));
    }
  }
  return text;
}

std::string EvalReport::Csv() const {
  std::string text = "length,depth_from,depth_to,asked,found,contains,accuracy,low,high\n";
  for (const LengthReport& length : lengths_) {
    for (size_t bin = 0; bin < length.depths.size(); ++bin) {
      const Tally& tally = length.depths[bin];
      const Interval interval = WilsonInterval(tally.found, tally.asked);
      text +=
          fmt::format("{},{:.4g},{:.4g},{},{},{},{},{:.4f},{:.4f}\n", length.length,
                      static_cast<double>(bin) / depths_, static_cast<double>(bin + 1) / depths_,
                      tally.asked, tally.found, tally.contains,
                      tally.asked == 0 ? "" : fmt::format("{:.4f}", tally.accuracy()), interval.low,
                      interval.high);
    }
  }
  return text;
}

json EvalReport::ToJson() const {
  json lengths = json::array();
  for (const LengthReport& length : lengths_) {
    json j = TallyJson(length.all);
    j["length"] = length.length;
    j["texts"] = length.texts;
    j["depths"] = json::array();
    for (size_t bin = 0; bin < length.depths.size(); ++bin) {
      json depth = TallyJson(length.depths[bin]);
      depth["from"] = static_cast<double>(bin) / depths_;
      depth["to"] = static_cast<double>(bin + 1) / depths_;
      j["depths"].push_back(std::move(depth));
    }
    j["kinds"] = json::object();
    for (const auto& [kind, tally] : length.kinds) j["kinds"][kind] = TallyJson(tally);
    j["tokens_per_second"] = length.tokens_per_second();
    j["ms_per_answer_token"] = length.ms_per_answer_token();
    j["stored_bytes"] = length.stored_bytes;
    j["tiers"] = json::array();
    for (const EvalTier& tier : length.tiers) {
      j["tiers"].push_back({{"tier", tier.tier},
                            {"fetched_blocks", tier.fetched_blocks},
                            {"hit_blocks", tier.hit_blocks},
                            {"bytes_in", tier.bytes_in}});
    }
    lengths.push_back(std::move(j));
  }
  return lengths;
}

}  // namespace cairn
