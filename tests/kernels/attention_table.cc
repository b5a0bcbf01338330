#include "tests/kernels/attention_table.h"

namespace cairn {
namespace {

constexpr auto kPlain = SoftmaxMode::kPlain;
constexpr auto kGrouped = SoftmaxMode::kGrouped;
constexpr auto kSplit = RopeStyle::kHalfSplit;
constexpr auto kWoven = RopeStyle::kInterleaved;
constexpr auto kF32 = DType::kF32;
constexpr auto kF16 = DType::kF16;
constexpr auto kBF16 = DType::kBF16;
constexpr auto kQ8 = DType::kQ8;

}  // namespace

// name, T, G, D, B, blocks, rows of the last, type, mode, style, hole, first slot, back
const std::vector<AttentionCase>& AttentionCases() {
  static const std::vector<AttentionCase> table = {
      {"decode", 1, 3, 64, 64, 9, 17, kF16, kPlain, kSplit},
      {"decode_grouped", 1, 3, 64, 64, 9, 17, kF16, kGrouped, kSplit, true},
      {"decode_one_query", 1, 1, 64, 64, 5, 64, kF32, kPlain, kSplit},
      {"decode_eight_heads", 1, 8, 128, 64, 5, 33, kBF16, kPlain, kSplit},
      {"decode_eight_grouped", 1, 8, 128, 64, 5, 33, kBF16, kGrouped, kWoven},
      {"decode_five_heads", 1, 5, 64, 16, 7, 5, kF32, kPlain, kWoven},
      {"decode_wide", 1, 2, 256, 32, 3, 1, kF16, kGrouped, kSplit},
      {"decode_80", 1, 4, 80, 16, 6, 9, kF16, kPlain, kSplit},
      {"decode_odd_dim", 1, 4, 36, 16, 6, 9, kF16, kPlain, kSplit},
      {"decode_codes", 1, 3, 64, 64, 9, 64, kQ8, kPlain, kSplit},
      {"decode_codes_grouped", 1, 4, 128, 32, 7, 32, kQ8, kGrouped, kWoven, true},
      {"decode_codes_wide", 2, 5, 256, 16, 4, 16, kQ8, kGrouped, kSplit},
      {"decode_codes_odd_dim", 1, 4, 36, 16, 6, 16, kQ8, kPlain, kSplit},
      {"decode_first_row", 1, 2, 64, 64, 1, 1, kF16, kPlain, kSplit},
      {"token_and_landmark", 2, 3, 64, 64, 6, 64, kF16, kGrouped, kSplit},
      {"landmark_then_token", 2, 3, 64, 64, 6, 1, kF16, kGrouped, kSplit},
      {"decode_sees_less", 2, 2, 64, 16, 4, 16, kF16, kPlain, kSplit, false, 0, 20},
      {"decode_sees_nothing", 2, 2, 64, 16, 2, 16, kF16, kPlain, kSplit, false, 4, 40},
      {"prefill_small", 16, 1, 64, 64, 1, 16, kF32, kPlain, kSplit},
      {"prefill", 256, 3, 64, 64, 8, 64, kF16, kPlain, kSplit},
      {"prefill_grouped", 256, 3, 64, 64, 8, 64, kF16, kGrouped, kSplit},
      {"prefill_ragged", 201, 3, 64, 64, 6, 11, kBF16, kPlain, kSplit, true},
      {"prefill_ragged_grouped", 201, 3, 64, 64, 6, 11, kBF16, kGrouped, kSplit, true},
      {"prefill_all_grouped", 331, 1, 64, 64, 6, 11, kF32, kGrouped, kWoven},
      {"prefill_f32", 97, 2, 128, 32, 9, 20, kF32, kPlain, kWoven},
      {"prefill_codes", 201, 3, 64, 64, 6, 64, kQ8, kPlain, kSplit, true},
      {"prefill_codes_grouped", 150, 2, 64, 63, 5, 63, kQ8, kGrouped, kWoven},
      {"prefill_codes_odd_dim", 40, 3, 36, 8, 9, 8, kQ8, kGrouped, kSplit},
      {"prefill_codes_80", 64, 2, 80, 16, 7, 16, kQ8, kGrouped, kWoven},
      {"prefill_two_passes", 700, 3, 64, 64, 12, 64, kF16, kGrouped, kSplit},
      {"prefill_wide", 65, 4, 256, 16, 7, 16, kF16, kGrouped, kSplit},
      {"prefill_51", 120, 2, 64, 51, 4, 50, kF16, kGrouped, kSplit},
      {"prefill_odd_dim", 40, 3, 36, 8, 9, 3, kF32, kGrouped, kWoven},
      {"prefill_tiny", 22, 1, 4, 4, 6, 2, kF32, kGrouped, kSplit},
      {"prefill_tiny_dim2", 9, 2, 2, 3, 4, 2, kF32, kPlain, kSplit},
      {"block_of_one", 12, 1, 16, 1, 12, 1, kF32, kGrouped, kSplit},
      {"many_blocks", 48, 1, 32, 8, 120, 8, kF16, kGrouped, kSplit, true},
      {"later_blocks_invisible", 64, 2, 64, 16, 12, 16, kF16, kPlain, kSplit, false, 0, 70},
      {"first_rows_see_nothing", 64, 2, 64, 16, 3, 16, kF16, kGrouped, kSplit, false, 5, 5},
      {"no_row_sees_anything", 24, 2, 64, 16, 2, 16, kF16, kPlain, kSplit, false, 9, 64},
      {"no_rows_written", 4, 4, 64, 16, 1, 0, kF16, kPlain, kSplit},
      {"no_blocks", 10, 2, 64, 16, 0, 0, kF16, kGrouped, kSplit},
      {"no_queries", 0, 3, 64, 64, 2, 64, kF16, kPlain, kSplit},
  };
  return table;
}

std::vector<AttentionCase> SmallAttentionCases() {
  std::vector<AttentionCase> cases;
  for (const AttentionCase& c : AttentionCases()) {
    if (int64_t{c.rows} * c.group * c.blocks * c.block_rows * c.head_dim < 20'000'000) {
      cases.push_back(c);
    }
  }
  return cases;
}

}  // namespace cairn
