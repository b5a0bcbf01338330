// Products with the two factors of a low-rank update, y += B · (A · x): what a LoRA adapter adds to
// a product whose weights stay as they are. Factors are f16, as adapters come; sums are f32.
#pragma once

#include <cstdint>

namespace cairn {

/// t[r] = scale · Σ_c a[r, c] · x[c]; `a` is [rank, k].
void LowRankDownReference(const uint16_t* a, int64_t rank, int64_t k, float scale, const float* x,
                          float* t);
void LowRankDown(const uint16_t* a, int64_t rank, int64_t k, float scale, const float* x, float* t);

/// y[i] += Σ_r b[r, i] · t[r] for i in [begin, end); `b` is [rank, n].
void LowRankUpReference(const uint16_t* b, int64_t rank, int64_t n, const float* t, int64_t begin,
                        int64_t end, float* y);
void LowRankUp(const uint16_t* b, int64_t rank, int64_t n, const float* t, int64_t begin,
               int64_t end, float* y);

}  // namespace cairn
