#include "engine/options.h"

#include <algorithm>
#include <string>

namespace cairn {

std::string_view AttentionModeName(AttentionMode mode) {
  return mode == AttentionMode::kLandmark ? "landmark" : "unmodified";
}

std::string_view SelectionName(Selection selection) {
  switch (selection) {
    case Selection::kPerToken:
      return "per-token";
    case Selection::kPerChunk:
      return "per-chunk";
    case Selection::kPerTokenSharedHeads:
      return "per-token-shared-heads";
  }
  return "unknown";
}

Result<Selection> ParseSelection(std::string_view text) {
  std::string name(text);
  std::replace(name.begin(), name.end(), '_', '-');
  for (Selection s :
       {Selection::kPerToken, Selection::kPerChunk, Selection::kPerTokenSharedHeads}) {
    if (name == SelectionName(s)) return s;
  }
  return Fail(Errc::kInvalidArgument,
              "'{}' is not a selection; use per-token, per-chunk or per-token-shared-heads", text);
}

Status SessionShape::Validate() const {
  CAIRN_TRY(CheckNumbers());
  if (inverse_frequencies.size() == static_cast<size_t>(block.head_dim / 2)) return Ok();
  return Fail(Errc::kInvalidArgument, "head dimension {} needs {} rotary frequencies, not {}",
              block.head_dim, block.head_dim / 2, inverse_frequencies.size());
}

Status SessionShape::CheckNumbers() const {
  if (layers < 1 || layers > 65535 || kv_heads < 1 || kv_heads > 65535) {
    return Fail(Errc::kInvalidArgument, "{} layers of {} KV heads cannot be stored", layers,
                kv_heads);
  }
  if (query_heads < kv_heads || query_heads % kv_heads != 0) {
    return Fail(Errc::kInvalidArgument, "{} query heads do not divide among {} KV heads",
                query_heads, kv_heads);
  }
  if (block.head_dim < 2 || block.head_dim > kMaxHeadDim || block.head_dim % 2 != 0) {
    return Fail(Errc::kInvalidArgument, "head dimension {}: use an even one up to {}",
                block.head_dim, kMaxHeadDim);
  }
  if (block.block_rows < 2 || block.block_rows > kMaxBlockRows) {
    return Fail(Errc::kInvalidArgument, "blocks of {} rows: use 2 to {}", block.block_rows,
                kMaxBlockRows);
  }
  const bool landmark = mode == AttentionMode::kLandmark;
  if (representatives < 1 || representatives > block.block_rows ||
      (landmark && representatives != 1)) {
    return Fail(Errc::kInvalidArgument,
                "{} representatives for a block of {} rows: use --representatives 1 to {}",
                representatives, block.block_rows, landmark ? 1 : block.block_rows);
  }
  return Ok();
}

Status SessionOptions::Validate(const SessionShape& shape) const {
  for (const auto& [value, flag] : {std::pair<int64_t, const char*>(retrieve, "--retrieve"),
                                    {sinks, "--sinks"},
                                    {recent_tokens, "--recent"}}) {
    if (value >= 0) continue;
    return Fail(Errc::kInvalidArgument, "{} {}: it must not be negative", flag, value);
  }
  for (const auto& [value, flag] : {std::pair<int64_t, const char*>(max_step_rows, "--chunk"),
                                    {query_stride, "--query-stride"}}) {
    if (value >= 1) continue;
    return Fail(Errc::kInvalidArgument, "{} {}: use 1 or more", flag, value);
  }
  if (!(mass_target >= 0 && mass_target < 1)) {
    return Fail(Errc::kInvalidArgument, "a mass target of {}: use 0 to below 1", mass_target);
  }
  const int64_t rows = shape.block.block_rows;
  const bool landmark = shape.mode == AttentionMode::kLandmark;
  const int64_t prefix = (int64_t{retrieve} + 1 + (landmark ? 0 : sinks)) * rows;
  const int64_t local = max_step_rows + (landmark ? rows - 1 : recent_tokens);
  if (prefix + local <= shape.context_rows) return Ok();
  if (landmark) {
    return Fail(
        Errc::kInvalidArgument,
        "retrieve {} with chunk {} needs ({} + 1) * {} + {} + {} = {} rows, the adapter was "
        "trained on {}; lower --retrieve or --chunk",
        retrieve, max_step_rows, retrieve, rows, max_step_rows, rows - 1, prefix + local,
        shape.context_rows);
  }
  return Fail(Errc::kInvalidArgument,
              "(sinks {} + retrieve {} + 1) * {} + recent {} + chunk {} = {} rows exceed the "
              "model's context of {}; lower one of --sinks, --retrieve, --recent, --chunk",
              sinks, retrieve, rows, recent_tokens, max_step_rows, prefix + local,
              shape.context_rows);
}

IndexOptions IndexOptionsOf(const SessionShape& shape, IndexKind kind) {
  IndexOptions options;
  options.kind = kind;
  options.partitions = shape.partitions();
  options.dim = shape.block.head_dim;
  options.representatives = shape.representatives;
  options.dtype = shape.block.dtype == DType::kF32 ? DType::kF32 : DType::kBF16;
  return options;
}

}  // namespace cairn
