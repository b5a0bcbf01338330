// What an engine session is told: its shape (fixed for its life) and its options (per command).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "index/landmark_index.h"
#include "kernels/block_shape.h"
#include "kernels/rope.h"

namespace cairn {

enum class AttentionMode : uint8_t {
  kLandmark,    ///< trained landmarks: grouped softmax, stingy positions (spec, sections 2-4)
  kUnmodified,  ///< any model: plain softmax over sinks, retrieved, recent blocks and the chunk
};

/// Who shares one choice of blocks. The KV head is always the unit: its query heads share one.
enum class Selection : uint8_t {
  kPerToken,             ///< each row and KV head its own
  kPerChunk,             ///< each KV head its own, shared by the rows of a step
  kPerTokenSharedHeads,  ///< each row its own, shared by all heads
};

std::string_view AttentionModeName(AttentionMode mode);
std::string_view SelectionName(Selection selection);
/// "per-token", "per-chunk" or "per-token-shared-heads" ('_' is accepted for '-').
Result<Selection> ParseSelection(std::string_view text);

/// Dimensions and arithmetic of the stored past. L layers, Hq query heads, Hkv KV heads.
struct SessionShape {
  int32_t layers = 0;
  int32_t query_heads = 0;
  int32_t kv_heads = 0;
  BlockShape block;  ///< B rows, D, element type of stored keys and values
  AttentionMode mode = AttentionMode::kUnmodified;
  int32_t representatives = 1;  ///< per block; 1 in landmark mode (the landmark key)
  int32_t context_rows = 0;     ///< the largest distance the model was trained on, plus one
  RopeStyle rope_style = RopeStyle::kHalfSplit;
  std::vector<double> inverse_frequencies;  ///< D/2, radians per position
  float scale = 0;                          ///< of q·k; 0 means 1/√D

  int32_t group() const { return query_heads / kv_heads; }
  int32_t partitions() const { return layers * kv_heads; }
  /// Tokens in a block: its rows, but for the landmark.
  int32_t block_tokens() const {
    return block.block_rows - (mode == AttentionMode::kLandmark ? 1 : 0);
  }
  Status Validate() const;
  /// Validate without the rotary embedding, which is not stored.
  Status CheckNumbers() const;
};

/// How an index of this kind keeps the representatives of a session of this shape.
IndexOptions IndexOptionsOf(const SessionShape& shape, IndexKind kind);

/// What a mass target goes by: what is certain, or what is likely.
enum class MassBy : uint8_t { kBound, kEstimate };

/// How the past is used. All but `selection` may differ from one command to the next.
struct SessionOptions {
  int32_t retrieve = 8;         ///< k: blocks chosen per KV head
  int32_t sinks = 1;            ///< first blocks always attended (unmodified mode)
  int32_t recent_tokens = 512;  ///< tokens always attended before a step (unmodified mode)
  int32_t max_step_rows = 256;  ///< the most rows one step brings
  int32_t query_stride = 1;     ///< per-chunk choice looks at every n-th row of a step
  Selection selection = Selection::kPerChunk;
  IndexKind index = IndexKind::kAuto;
  /// Above 0: a layer chooses more blocks, up to kMostAimed, until every row and query head gives
  /// this share of its attention to what it reads (engine/certificate.h).
  float mass_target = 0;
  static constexpr int32_t kMostAimed = 1024;
  MassBy mass_by = MassBy::kEstimate;
  /// Unmodified mode: sketches of keys are stored with the blocks that are sealed from now on, so
  /// that certificates need not read these.
  bool keep_sketches = false;

  /// kInvalidArgument with the numbers if a full step would reach past `shape.context_rows`.
  Status Validate(const SessionShape& shape) const;
};

}  // namespace cairn
