// EvalReport: what the records of an evaluation add up to, as a table, CSV and JSON.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/eval_record.h"

namespace cairn {

struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's 95 % interval of a share; all of [0, 1] if nothing was asked.
Interval WilsonInterval(int64_t found, int64_t asked);

struct Tally {
  int64_t asked = 0;
  int64_t found = 0;     ///< right answers
  int64_t contains = 0;  ///< answers that hold the value, perhaps among others
  /// Of right answers with a passage_rank: all, and those whose fact is in the first passage or
  /// among the first three.
  int64_t ranked = 0;
  int64_t first = 0;
  int64_t first_three = 0;

  void Add(const EvalAnswer& answer);
  double accuracy() const {
    return asked == 0 ? 0 : static_cast<double>(found) / static_cast<double>(asked);
  }
};

/// All texts of one length.
struct LengthReport {
  int64_t length = 0;
  int64_t texts = 0;
  Tally all;
  std::vector<Tally> depths;           ///< one per bin
  std::map<std::string, Tally> kinds;  ///< by kind of fact
  int64_t tokens_read = 0;
  double read_seconds = 0;
  int64_t answer_tokens = 0;
  double answer_seconds = 0;
  uint64_t stored_bytes = 0;  ///< of the largest text
  std::vector<EvalTier> tiers;

  double tokens_per_second() const;
  double ms_per_answer_token() const;
};

class EvalReport {
 public:
  /// Lengths come in the order of `lengths`, whether there are records of them or not.
  EvalReport(const std::vector<int64_t>& lengths, int depths,
             const std::vector<EvalRecord>& records);

  const std::vector<LengthReport>& lengths() const { return lengths_; }

  /// For people: accuracies, kinds if there are several, speed and tiers.
  std::string Table() const;
  /// A row for each length and depth: length, depth_from, depth_to, asked, found, contains,
  /// accuracy, low, high.
  std::string Csv() const;
  /// A list with an object for each length.
  nlohmann::json ToJson() const;

 private:
  std::string KindsTable() const;
  std::string PassagesTable() const;
  std::string TiersTable() const;
  int DepthsWidth() const;

  int depths_;
  std::vector<LengthReport> lengths_;
};

/// "2k", "1M", or the plain number.
std::string LengthName(int64_t tokens);

}  // namespace cairn
