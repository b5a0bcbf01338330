// Attention of query rows over a list of blocks of one KV head, giving a part: (o, lse).
//
// Two softmax modes: plain, and the grouped softmax of landmark attention (Mohtashami & Jaggi
// 2023, section 3.1). Parts over disjoint lists of whole blocks merge (softmax_state.h).
// AttendReference is the plain-loop specification; Attend is the fast version, tested against it
// over one case table. Both are pure functions: they own and allocate nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/block_shape.h"
#include "kernels/rope.h"

namespace cairn {

enum class SoftmaxMode : uint8_t {
  kPlain,    ///< one softmax over every visible key
  kGrouped,  ///< landmark attention: gates and local keys in one, each earlier block in its own
};

/// A block placed at a position. Key row t stands at `position` + t.
struct BlockRef {
  const std::byte* payload = nullptr;  ///< BlockShape::payload_bytes()
  int32_t position = 0;                ///< of row 0
  int32_t rows = 0;                    ///< rows written so far, in [0, B]
};

inline constexpr int32_t kExactQueries = 16;

/// Query row i stands at q_positions[i] and sees the key rows at positions ≤ its own.
///
/// kGrouped: the block with position ≤ q_position < position + B is the row's own section: its
/// rows are local keys, except row B−1 (the landmark), which its own section never sees. A block
/// with position + B ≤ q_position is an earlier block and must be complete: its row B−1 is the
/// gate and rows [0, B−1) are read through it. No visible key: o = 0 and lse = −inf.
struct AttendParams {
  BlockShape shape;
  SoftmaxMode mode = SoftmaxMode::kPlain;
  float scale = 1.0f;  ///< multiplies q·k, usually 1/√D
  /// Where the CPU has instructions for it, products of more than kExactQueries queries (T·G) with
  /// 16-bit payloads and codes may be of numbers rounded to bf16, summed in f32.
  bool bf16 = false;
  const RopeTable* rope = nullptr;  ///< covers every q_position − block position that is seen
  int32_t rows = 0;                 ///< T
  int32_t group = 1;                ///< G, query heads that share this KV head
  const float* q = nullptr;         ///< [T, G, D], un-rotated; rows q_row_stride apart
  int64_t q_row_stride = 0;         ///< elements
  const int32_t* q_positions = nullptr;  ///< [T]
  /// Ascending positions, the lowest first. Blocks that stand before every row's own may share one;
  /// others do not overlap.
  std::span<const BlockRef> blocks;
  float* o = nullptr;        ///< [T, G, D], rows o_row_stride apart
  int64_t o_row_stride = 0;  ///< elements
  float* lse = nullptr;      ///< [T, G]; kGrouped: of the first softmax (local and gates)
};

void AttendReference(const AttendParams& params);

/// Same results within rounding (of f32; of bf16 where that is allowed). `scratch` has
/// AttendScratchFloats(params) elements, aligned to 64 bytes.
size_t AttendScratchFloats(const AttendParams& params);
void Attend(const AttendParams& params, float* scratch);

/// Whether Attend makes use of AttendParams::bf16 on this machine.
bool AttendHasBf16();
/// The name of the instruction set Attend runs with on this machine, e.g. "AVX3_ZEN4".
const char* AttendTarget();

}  // namespace cairn
