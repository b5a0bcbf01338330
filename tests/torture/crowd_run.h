// CrowdRun: rounds of a SessionCrowd for the torture program.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "tests/support/session_crowd.h"

namespace cairn::test {

/// CrowdCounts as plain numbers.
struct CrowdTotals {
  uint64_t steps = 0, commits = 0, opened = 0, forks = 0;
  uint64_t renamed = 0, deleted = 0, moved = 0, checked = 0;

  CrowdTotals& operator+=(const CrowdTotals& other);
};

class CrowdRun {
 public:
  CrowdRun(const std::string& path, uint64_t seed) : crowd_(path, seed) {}

  /// Some operations in four threads; then all is compared. An error says what differs.
  Status Round() { return crowd_.Run(/*threads=*/4, /*operations=*/100); }
  CrowdTotals counts() const;

 private:
  SessionCrowd crowd_;
};

}  // namespace cairn::test
