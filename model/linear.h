// Linear: y = x·Wᵀ, the one operation a transformer spends its time in, behind a seam: a plain
// reference and oneDNN. Weights are immutable; Apply may be called from one thread at a time and
// uses all cores.
#pragma once

#include <cstdint>
#include <memory>

#include "base/dtype.h"

namespace cairn {

class Linear {
 public:
  virtual ~Linear() = default;
  /// `x` is [rows, k] f32, `y` [rows, n] f32, both dense.
  virtual void Apply(const float* x, int64_t rows, float* y) const = 0;
  virtual int64_t n() const = 0;
  virtual int64_t k() const = 0;
  virtual uint64_t bytes() const = 0;
};

/// Plain loops in f32: the specification of the other.
std::unique_ptr<Linear> MakeReferenceLinear(const float* weights, int64_t n, int64_t k);

/// oneDNN, weights and inputs rounded to `type` (kF32 or kBF16), f32 sums.
std::unique_ptr<Linear> MakeOneDnnLinear(DType type, const float* weights, int64_t n, int64_t k);

}  // namespace cairn
