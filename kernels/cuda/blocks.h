// Blocks on a CUDA device: rows appended, representatives taken, payloads sealed and copied. The
// twins on a CPU are in kernels/append.h and kernels/block_rows.h; payloads written here are
// the same, byte by byte. A call takes up to 65,535 blocks. Every pointer is to device memory,
// lists of pointers too; payloads are aligned to 16 bytes. Functions launch on the stream and
// return at once; they fail as in attention.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "kernels/block_shape.h"
#include "kernels/cuda/attention.h"

namespace cairn::cuda {

/// Unfinished blocks of a layer, one behind the other for each KV head.
struct LocalBlocks {
  int32_t heads = 1;
  std::byte* blocks = nullptr;
  int64_t head_stride = 0;   ///< bytes
  int64_t block_stride = 0;  ///< bytes
};

/// AppendRows for all heads: k and v are [rows, heads, D] f32, un-rotated, `stride` elements
/// between rows. The first goes to row *first_row, which is read on the device, of each head's
/// blocks: row first_row % B of block first_row / B; the rest behind it.
Status AppendRows(const BlockShape& shape, const DeviceRope& rope, const LocalBlocks& local,
                  const int32_t* first_row, int32_t rows, const float* k, const float* v,
                  int64_t stride, Stream stream);

/// LandmarkKey of `blocks` payloads: `keys` is [blocks, D].
Status LandmarkKeys(const BlockShape& shape, int32_t blocks, const std::byte* const* payloads,
                    float* keys, Stream stream);

/// SubBlockMeans of `blocks` payloads: `means` is [blocks, count, D].
Status SubBlockMeans(const BlockShape& shape, int32_t blocks, int32_t count,
                     const std::byte* const* payloads, float* means, Stream stream);

/// SealBlock of `blocks` payloads: open[i] of shape.open() to payloads[i] of `shape`, a kQ8.
Status SealBlocks(const BlockShape& shape, int32_t blocks, const std::byte* const* open,
                  std::byte* const* payloads, Stream stream);

/// Copies `bytes` from sources[i] to targets[i], for i in [0, blocks). Sources may be pinned host
/// memory that the device can reach.
Status GatherBlocks(int32_t blocks, size_t bytes, const std::byte* const* sources,
                    std::byte* const* targets, Stream stream);

}  // namespace cairn::cuda
