// Element-wise parts of a transformer layer on a CUDA device (kernels/transformer.h). Pointers are
// to device memory. Functions launch on the stream and return at once; kIo with CUDA's words if the
// launch failed.
//
// Numbers are read and written by fours where rows have a multiple of four and all pointers are
// aligned to 16 bytes, one by one elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/transformer.h"

namespace cairn::cuda {

Status RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t n,
               DType type, std::byte* y, Stream stream);

Status FinishHeads(const HeadWeights& weights, const HeadCounts& heads, int64_t rows, float* qkv,
                   Stream stream);

/// `stopped` is read when the kernel runs.
Status AddRows(float* x, const float* y, int64_t count, const int32_t* stopped, Stream stream);

Status SwiGlu(const float* gate_up, int64_t rows, int64_t ffn, DType type, std::byte* y,
              Stream stream);

Status ConvertFloats(const float* x, int64_t count, DType type, std::byte* y, Stream stream);

Status Greedy(const float* logits, int64_t rows, int64_t vocab, int32_t* ids, Stream stream);

}  // namespace cairn::cuda
