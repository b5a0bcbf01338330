// What the keys or values of a block look like in numbers, and as a file for NumPy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/options.h"
#include "kernels/block_shape.h"

namespace cairn {

/// A channel whose numbers are far larger than those of the others.
struct OutlierChannel {
  int32_t channel = 0;
  double largest = 0;  ///< in absolute value
};

struct ArrayNumbers {
  double norm_min = 0, norm_mean = 0, norm_max = 0;  ///< of rows
  double min = 0, max = 0, rms = 0;                  ///< of single numbers
  int64_t not_finite = 0;                            ///< which the others leave out
  std::vector<OutlierChannel> outliers;              ///< largest first, at most 8
};

/// A channel stands out if its largest number is more than this many times the root mean square.
inline constexpr double kOutlierTimes = 4;

enum class BlockPart : uint8_t { kKeys, kValues };

/// Of rows [first, first + rows) of the keys or values of a payload.
ArrayNumbers NumbersOf(const BlockShape& shape, std::span<const std::byte> payload, BlockPart part,
                       int32_t first, int32_t rows);

/// A payload as the bytes of an .npy file: an array [2, B, D], keys and values, of f32 where they
/// are stored as codes.
std::string NpyOf(const BlockShape& shape, std::span<const std::byte> payload);

/// Which part of which block of a session.
struct BlockPlace {
  int64_t block = 0;
  int32_t layer = 0;
  int32_t head = 0;
};

/// "BLOCK/LAYER/HEAD"; kInvalidArgument says what there is.
Result<BlockPlace> ParseBlockPlace(std::string_view text, const SessionShape& shape,
                                   int64_t blocks);

}  // namespace cairn
