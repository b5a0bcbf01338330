// CertificateReport: what an answer may have missed, token by token, layer by layer and in all.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/certificate.h"
#include "engine/options.h"
#include "tools/passages.h"

namespace cairn {

/// Of a set of cases: one row, layer and query head each.
struct MissedSummary {
  int64_t cases = 0;
  double bound_median = 0, bound_mean = 0;
  double estimate_median = 0, estimate_mean = 0;
  double bound_below_half = 0, bound_below_tenth = 0;  ///< shares of the cases
  double chosen_median = 0;                            ///< blocks
  double target_reached = 1;  ///< share of the cases, by what the target goes by

  /// If they were audited.
  struct Audit {
    double truth_median = 0, truth_mean = 0;
    double error_median = 0, error_p90 = 0;  ///< |estimate − truth|
    int64_t broken = 0;                      ///< cases whose truth exceeds their bound
    double target_reached = 1;               ///< in truth
  };
  std::optional<Audit> audit{};
};

struct CertificateReport {
  AttentionMode mode = AttentionMode::kUnmodified;
  float target = 0;  ///< 0: none
  MassBy by = MassBy::kEstimate;
  MissedSummary answer{};
  std::vector<MissedSummary> tokens{};  ///< of the answer
  std::vector<MissedSummary> layers{};
};

/// `answer` has a weight, whatever it is, for each token.
CertificateReport MakeCertificate(const MassLog& log, const SessionShape& shape,
                                  const SessionOptions& options, const AnswerPlace& answer);

/// `texts` are of the answer's tokens.
nlohmann::json CertificateJson(const CertificateReport& report,
                               const std::vector<std::string>& texts);
/// The same for people: the answer, and its tokens in a table.
std::string DescribeCertificate(const CertificateReport& report,
                                const std::vector<std::string>& texts);

}  // namespace cairn
