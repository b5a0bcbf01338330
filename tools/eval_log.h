// EvalLog: the file in which an evaluation keeps what it has found out, so that it can go on after
// an interruption of any kind. First the settings, then a record for each finished text, a line of
// JSON each.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/eval_record.h"

namespace cairn {

/// Move-only. Locks the file until destroyed.
class EvalLog {
 public:
  /// Opens `path` or makes it. kMismatch naming the first difference if it was made with other
  /// settings; kBusy if another process has it open; kCorruption naming the line if one that is not
  /// the last cannot be read. The last one may be damaged, by a stop while writing; it is dropped.
  static Result<EvalLog> Open(const std::string& path, const nlohmann::json& settings);
  ~EvalLog();
  EvalLog(EvalLog&& other) noexcept;
  EvalLog& operator=(EvalLog&&) = delete;

  const std::vector<EvalRecord>& records() const { return records_; }
  bool Holds(int64_t length, int64_t text) const;
  /// Adds a record, which is durable on return.
  Status Append(EvalRecord record);

 private:
  explicit EvalLog(std::string path) : path_(std::move(path)) {}
  Status Lock();
  /// Reads the settings and all records that are whole, and cuts off what follows them.
  Status Load(const nlohmann::json& settings);
  Status WriteLine(const nlohmann::json& line);

  std::string path_;
  int fd_ = -1;
  std::vector<EvalRecord> records_;
};

}  // namespace cairn
