#include "engine/fork_point.h"

#include <algorithm>

#include "base/check.h"
#include "engine/block_map.h"
#include "engine/stored_shape.h"

namespace cairn {

Result<int64_t> TokensPerBlock(const SessionRecord& record) {
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(record.properties));
  CAIRN_TRY(const SessionShape shape, ParseShape(stored.shape));
  const auto rows = static_cast<int64_t>(record.rows);
  const int64_t blocks = rows / shape.block.block_rows;
  const int64_t landmarks = blocks * (shape.block.block_rows - shape.block_tokens());
  if (rows - landmarks == static_cast<int64_t>(record.tokens)) return shape.block_tokens();
  return Fail(Errc::kUnsupported,
              "session '{}' has {} tokens in {} rows, which does not say how many tokens a block "
              "holds; it can only be used as a whole",
              record.name, record.tokens, rows);
}

Result<ForkPoint> ForkPointBehind(ColdStore& cold, const SessionRecord& source, int64_t blocks,
                                  const std::string& properties, BlockWatch watch) {
  CAIRN_TRY(StoredShape stored, ParseStoredShape(source.properties));
  CAIRN_TRY(const SessionShape shape, ParseShape(stored.shape));
  CAIRN_TRY(const int64_t block_tokens, TokensPerBlock(source));
  BlockMap map;
  for (const ExtentRange& range : source.ranges) {
    const int64_t left = blocks - map.size();
    map.Append(
        {range.extent, range.first, static_cast<uint32_t>(std::min<int64_t>(range.count, left))});
  }
  CAIRN_CHECK(blocks >= 0);
  if (map.size() != blocks) {
    return Fail(Errc::kCorruption, "session '{}' has {} rows but {} stored blocks", source.name,
                source.rows, map.size());
  }
  CAIRN_TRY(stored.chain, ReadChain(cold, GridOf(shape), map.ranges(), watch));
  stored.properties = properties;
  ForkPoint point;
  point.blocks = static_cast<uint64_t>(blocks);
  point.tokens = static_cast<uint64_t>(blocks * block_tokens);
  point.rows = static_cast<uint64_t>(blocks * shape.block.block_rows);
  point.properties = ToJson(stored);
  return point;
}

}  // namespace cairn
