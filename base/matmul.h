// Matrix products on one core through oneDNN; callers split the work with ParallelFor.
//
// Inputs are f32 or bf16 and results f32, with f32 sums. A product of the same shape on the same
// machine gives the same bits every time.
#pragma once

#include <cstdint>
#include <memory>

#include "base/dtype.h"

namespace cairn {

/// bf16 where the CPU multiplies bf16 natively (AVX512-BF16 or AMX), f32 elsewhere.
DType FastMatmulType();

/// C[m,n] = A[m,k] · B[n,k]ᵀ, all row-major and dense; A and B of `type` (kF32 or kBF16), C f32.
/// Thread-safe. The first call of a shape makes its code. (Strided results would send oneDNN to its
/// reference code.)
void MultiplyTransposed(DType type, const void* a, const void* b, float* c, int64_t m, int64_t n,
                        int64_t k);

/// A weight matrix W[n,k] in the layout this CPU multiplies fastest. Immutable and thread-safe
/// once packed; owns its memory.
class PackedMatrix {
 public:
  /// `weights` is [n,k] row-major f32; it is rounded to `type` (kF32 or kBF16) and may go after.
  static PackedMatrix Pack(DType type, const float* weights, int64_t n, int64_t k);
  ~PackedMatrix();
  PackedMatrix(PackedMatrix&&) noexcept;
  PackedMatrix& operator=(PackedMatrix&&) noexcept;

  /// Y[m,n] = X[m,k] · Wᵀ; X of the packed type, Y f32, both dense.
  void Multiply(const void* x, int64_t m, float* y) const;

  int64_t n() const;
  int64_t k() const;
  DType type() const;
  uint64_t bytes() const;

 private:
  struct State;
  explicit PackedMatrix(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
