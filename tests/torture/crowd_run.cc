#include "tests/torture/crowd_run.h"

namespace cairn::test {

CrowdTotals& CrowdTotals::operator+=(const CrowdTotals& other) {
  steps += other.steps;
  commits += other.commits;
  opened += other.opened;
  forks += other.forks;
  renamed += other.renamed;
  deleted += other.deleted;
  moved += other.moved;
  checked += other.checked;
  return *this;
}

CrowdTotals CrowdRun::counts() const {
  const CrowdCounts& counts = crowd_.counts();
  return {counts.steps,   counts.commits, counts.opened, counts.forks,
          counts.renamed, counts.deleted, counts.moved,  counts.checked};
}

}  // namespace cairn::test
