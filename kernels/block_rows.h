// Rows of one block's payload as floats, and the payload of a block that has become complete.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_shape.h"

namespace cairn {

/// Key or value row `row` of a payload, as it is stored (block-relative), into D floats.
void ReadKey(const BlockShape& shape, const std::byte* payload, int32_t row, float* key);
void ReadValue(const BlockShape& shape, const std::byte* payload, int32_t row, float* value);

/// Writes the payload of a complete block of `shape`, which is kQ8, from one of shape.open(). The
/// scale of a channel is its largest magnitude over the block's rows, divided by 127; codes are
/// rounded to nearest even, so a number is at most half a scale off. Numbers must be finite.
void SealBlock(const BlockShape& shape, const std::byte* open, std::byte* payload);

}  // namespace cairn
