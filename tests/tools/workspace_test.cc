// How much room a session on scratch has for a question and its answer.
#include "tools/workspace.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Workspace, ScratchHasRoomForAllThatMayBeAsked) {
  constexpr int64_t kTokens = 8192 + 4096;
  constexpr uint64_t kGiB = 1ull << 30;
  SessionShape shape;
  shape.mode = AttentionMode::kLandmark;
  for (const auto& [layers, kv_heads] : {std::pair(2, 2), std::pair(32, 8), std::pair(80, 8)}) {
    shape.layers = layers;
    shape.kv_heads = kv_heads;
    shape.block = {.block_rows = 64, .head_dim = 128, .dtype = DType::kF32};
    const uint64_t token_bytes = uint64_t{2} * 128 * 4 * static_cast<uint64_t>(layers * kv_heads);
    const uint64_t needed = token_bytes * kTokens * 64 / 63;  // with the landmarks
    const uint64_t bytes = ScratchBytes(shape, kTokens);
    EXPECT_GE(bytes, needed) << layers;
    EXPECT_LE(bytes, std::max(kGiB, 3 * needed)) << layers;
    EXPECT_EQ(bytes == kGiB, layers == 2);
  }
}

}  // namespace
}  // namespace cairn
