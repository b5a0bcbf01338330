#include "tools/certificate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/plain_text.h"
#include "tools/passages.h"

namespace cairn {
namespace {

using Cases = std::vector<const MissedMass*>;

double Quantile(std::vector<double> numbers, double part) {
  if (numbers.empty()) return 0;
  const auto last = static_cast<double>(numbers.size() - 1);
  const auto at = numbers.begin() + static_cast<std::ptrdiff_t>(std::lround(part * last));
  std::nth_element(numbers.begin(), at, numbers.end());
  return *at;
}

double Mean(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number;
  return numbers.empty() ? 0 : sum / static_cast<double>(numbers.size());
}

/// The share of `numbers` up to `most`.
double ShareUpTo(const std::vector<double>& numbers, double most) {
  const auto count = std::ranges::count_if(numbers, [&](double n) { return n <= most; });
  return numbers.empty() ? 1 : static_cast<double>(count) / static_cast<double>(numbers.size());
}

MissedSummary::Audit SummarizeAudit(const Cases& cases, double most) {
  MissedSummary::Audit audit;
  std::vector<double> truths, errors;
  for (const MissedMass* one : cases) {
    truths.push_back(one->truth);
    errors.push_back(std::abs(one->estimate - one->truth));
    audit.broken += one->truth > one->bound ? 1 : 0;
  }
  audit.truth_median = Quantile(truths, 0.5);
  audit.truth_mean = Mean(truths);
  audit.error_median = Quantile(errors, 0.5);
  audit.error_p90 = Quantile(errors, 0.9);
  audit.target_reached = ShareUpTo(truths, most);
  return audit;
}

MissedSummary Summarize(const Cases& cases, const CertificateReport& report) {
  MissedSummary summary;
  summary.cases = std::ssize(cases);
  std::vector<double> bounds, estimates, chosen;
  for (const MissedMass* one : cases) {
    bounds.push_back(one->bound);
    estimates.push_back(one->estimate);
    chosen.push_back(one->chosen);
  }
  summary.bound_median = Quantile(bounds, 0.5);
  summary.bound_mean = Mean(bounds);
  summary.estimate_median = Quantile(estimates, 0.5);
  summary.estimate_mean = Mean(estimates);
  summary.bound_below_half = ShareUpTo(bounds, 0.5);
  summary.bound_below_tenth = ShareUpTo(bounds, 0.1);
  summary.chosen_median = Quantile(chosen, 0.5);
  const double most = 1 - static_cast<double>(report.target);
  summary.target_reached = ShareUpTo(report.by == MassBy::kBound ? bounds : estimates, most);
  if (!cases.empty() && !std::isnan(cases.front()->truth)) {
    summary.audit = SummarizeAudit(cases, most);
  }
  return summary;
}

nlohmann::json SummaryJson(const MissedSummary& summary, bool aims) {
  nlohmann::json json{{"cases", summary.cases},
                      {"bound_median", summary.bound_median},
                      {"bound_mean", summary.bound_mean},
                      {"estimate_median", summary.estimate_median},
                      {"estimate_mean", summary.estimate_mean},
                      {"bound_below_half", summary.bound_below_half},
                      {"bound_below_tenth", summary.bound_below_tenth},
                      {"blocks_chosen_median", summary.chosen_median}};
  if (aims) json["target_reached"] = summary.target_reached;
  if (!summary.audit.has_value()) return json;
  const MissedSummary::Audit& audit = *summary.audit;
  json["truth_median"] = audit.truth_median;
  json["truth_mean"] = audit.truth_mean;
  json["estimate_error_median"] = audit.error_median;
  json["estimate_error_p90"] = audit.error_p90;
  json["bounds_broken"] = audit.broken;
  if (aims) json["target_reached_in_truth"] = audit.target_reached;
  return json;
}

std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

}  // namespace

CertificateReport MakeCertificate(const MassLog& log, const SessionShape& shape,
                                  const SessionOptions& options, const AnswerPlace& answer) {
  CertificateReport report{
      .mode = shape.mode, .target = options.mass_target, .by = options.mass_by};
  Cases all;
  std::vector<Cases> tokens(answer.weights.size());
  std::vector<Cases> layers(static_cast<size_t>(shape.layers));
  for (const MissedMass& missed : log.heads) {
    const auto token = AnswerTokenOf(shape, answer, missed.row);
    if (!token.has_value()) continue;
    all.push_back(&missed);
    tokens[static_cast<size_t>(*token)].push_back(&missed);
    layers[static_cast<size_t>(missed.layer)].push_back(&missed);
  }
  report.answer = Summarize(all, report);
  for (const Cases& cases : tokens) report.tokens.push_back(Summarize(cases, report));
  for (const Cases& cases : layers) report.layers.push_back(Summarize(cases, report));
  return report;
}

nlohmann::json CertificateJson(const CertificateReport& report,
                               const std::vector<std::string>& texts) {
  const bool aims = report.target > 0;
  nlohmann::json json = SummaryJson(report.answer, aims);
  json["of"] = report.mode == AttentionMode::kLandmark ? "gates" : "keys";
  if (aims) {
    json["target"] = std::round(report.target * 1e6) / 1e6;
    json["target_by"] = report.by == MassBy::kBound ? "bound" : "estimate";
  }
  json["tokens"] = nlohmann::json::array();
  for (size_t i = 0; i < report.tokens.size(); ++i) {
    nlohmann::json token = SummaryJson(report.tokens[i], aims);
    token["text"] = texts[i];
    json["tokens"].push_back(std::move(token));
  }
  json["layers"] = nlohmann::json::array();
  for (size_t i = 0; i < report.layers.size(); ++i) {
    nlohmann::json layer = SummaryJson(report.layers[i], aims);
    layer["layer"] = i;
    json["layers"].push_back(std::move(layer));
  }
  return json;
}

std::string DescribeCertificate(const CertificateReport& report,
                                const std::vector<std::string>& texts) {
  const MissedSummary& answer = report.answer;
  const bool audited = answer.audit.has_value();
  std::string shown = fmt::format(
      "attention on blocks that were not read, by token: medians over layers and heads\n"
      "{:>8} {:>8}{}  token\n",
      "at most", "about", audited ? fmt::format(" {:>8}", "in truth") : "");
  const auto line = [&](const MissedSummary& summary, const std::string& name) {
    shown += fmt::format("{:>8} {:>8}{}  {}\n", Percent(summary.bound_median),
                         Percent(summary.estimate_median),
                         audited && summary.audit.has_value()
                             ? fmt::format(" {:>8}", Percent(summary.audit->truth_median))
                             : "",
                         name);
  };
  for (size_t i = 0; i < report.tokens.size(); ++i) line(report.tokens[i], ForTerminal(texts[i]));
  line(answer, "(the answer)");
  shown += fmt::format(
      "at most half in {} of {} cases, at most a tenth in {}; means: at most {}, "
      "about {}\n",
      Percent(answer.bound_below_half), answer.cases, Percent(answer.bound_below_tenth),
      Percent(answer.bound_mean), Percent(answer.estimate_mean));
  if (report.target > 0) {
    shown +=
        fmt::format("{} read in {} of the cases, by the {}; {:.0f} blocks were chosen (median)\n",
                    Percent(report.target), Percent(answer.target_reached),
                    report.by == MassBy::kBound ? "bound" : "estimate", answer.chosen_median);
  }
  return shown;
}

}  // namespace cairn
