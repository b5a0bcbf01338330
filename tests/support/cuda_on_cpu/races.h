// Data races of kernels that are there on purpose.
#pragma once

#include "tests/support/cuda_on_cpu/fiber_switch.h"

namespace cairn::cuda_on_cpu {

/// While there is one, the sanitizer of threads counts races instead of reporting them. Races
/// between the same two places are one, in all of a program's run.
class ExpectedRaces {
 public:
  ExpectedRaces();
  ~ExpectedRaces();
  ExpectedRaces(const ExpectedRaces&) = delete;
  ExpectedRaces& operator=(const ExpectedRaces&) = delete;

  /// How many there were; none in builds without that sanitizer.
  int Seen() const;
};

}  // namespace cairn::cuda_on_cpu
