// Attention on a CUDA device: AttendReference for all KV heads of a layer in one call, over lists
// of blocks read in place from device memory. Functions on pointers that own and allocate nothing;
// they launch on the stream and return at once.
//
// Head sizes are even and up to 256; the usual ones (64, 80, 96, 128, 256) are read 8 numbers at a
// time. Blocks have up to 1,024 rows. Payloads are aligned to 16 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

using Stream = CUstream_st*;

/// kUnsupported, with the limits, for what the kernels cannot do.
Status CheckShape(const BlockShape& shape);

/// A RopeTable in device memory: its rows at(0), at(1), …, [positions, D].
struct DeviceRope {
  const float* table = nullptr;
  int32_t positions = 0;
  RopeStyle style = RopeStyle::kHalfSplit;
};

/// As AttendParams, with lists for each of `heads` KV heads; every pointer is to device memory. The
/// table covers every q_position − block position that is seen; in kGrouped earlier blocks are
/// complete: both are the caller's to see to, as the lists may be made on the device.
struct AttendParams {
  BlockShape shape;
  SoftmaxMode mode = SoftmaxMode::kPlain;
  float scale = 1.0f;
  /// Products of many queries with 16-bit payloads and codes may be of queries and weights rounded
  /// to 16 bits (bf16 with bf16 payloads, f16 otherwise), summed in f32.
  bool bf16 = false;
  DeviceRope rope;
  int32_t heads = 1;                      ///< Hkv
  int32_t rows = 0;                       ///< T
  int32_t group = 1;                      ///< G; Hq = Hkv·G
  const float* q = nullptr;               ///< [T, Hq, D], un-rotated, rows q_row_stride apart
  int64_t q_row_stride = 0;               ///< elements
  const int32_t* q_positions = nullptr;   ///< [T]
  const PlacedBlock* blocks = nullptr;    ///< [Hkv, block_stride], each list ascending
  const int32_t* block_counts = nullptr;  ///< [Hkv], each at most block_stride
  int32_t block_stride = 0;
  float* o = nullptr;        ///< [T, Hq, D], rows o_row_stride apart
  int64_t o_row_stride = 0;  ///< elements
  float* lse = nullptr;      ///< [T, Hq]
};

/// How a decode is shared out, and what its result takes in.
struct DecodeShare {
  int32_t splits = 1;        ///< parts of a list
  float* scratch = nullptr;  ///< DecodeScratchFloats; not needed for one part that is all
  /// DecodeCounts, all 0, and 0 again once it has run: then parts are merged in the same launch.
  /// Serves one at a time. Null: by another launch.
  int32_t* arrived = nullptr;
  /// With `arrived`: attention of the same queries over other blocks, [T, Hq, D] and [T, Hq], with
  /// which the result is that over all of them; or null.
  const float* other_o = nullptr;
  const float* other_lse = nullptr;
};

/// For few rows: a block of threads for each row, KV head and part of a list. kUnsupported for
/// shapes that are not above; kIo with CUDA's words if a launch failed.
Status AttendDecode(const AttendParams& params, const DecodeShare& share, Stream stream);
/// Of the params only the sizes are looked at.
size_t DecodeScratchFloats(const AttendParams& params, int32_t splits);
/// For so many rows.
int64_t DecodeCounts(int32_t rows, int32_t heads, int32_t group);

/// Attention over two lists, each attended apart, to that over both: `o` is [2, T, Hq, D], `lse`
/// [2, T, Hq]; the result goes to the o and lse of `params`.
Status MergeParts(const AttendParams& params, float* o, float* lse, Stream stream);

/// Whether blocks of this shape fit the shared memory that AttendPrefill works in.
bool FitsPrefill(const BlockShape& shape);
/// For many rows: a block of threads for each KV head and 32 queries, on tensor cores unless
/// payloads are f32 or blocks are too large for that. kUnsupported for what does not fit, as above.
Status AttendPrefill(const AttendParams& params, Stream stream);

}  // namespace cairn::cuda
