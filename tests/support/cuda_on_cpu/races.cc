#include "tests/support/cuda_on_cpu/races.h"

namespace {

bool expected = false;
int seen = 0;

}  // namespace

#ifdef CAIRN_SANITIZED_THREADS
// The sanitizer asks this, where a program has it, what to do with a report: true drops it.
namespace __tsan {
class ReportDesc;
__attribute__((no_sanitize("thread"))) bool OnReport(const ReportDesc*, bool suppressed) {
  if (expected) ++seen;
  return suppressed || expected;
}
}  // namespace __tsan
#endif

namespace cairn::cuda_on_cpu {

ExpectedRaces::ExpectedRaces() {
  expected = true;
  seen = 0;
}

ExpectedRaces::~ExpectedRaces() { expected = false; }

int ExpectedRaces::Seen() const { return seen; }

}  // namespace cairn::cuda_on_cpu
