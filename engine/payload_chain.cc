#include "engine/payload_chain.h"

namespace cairn {

std::string NextChain(const std::string& chain, const Hasher& block) {
  Hasher hasher;
  hasher.Update(chain);
  hasher.Update(block.Hex());
  return hasher.Hex();
}

Result<std::string> ReadChain(ColdStore& cold, const BlockGrid& grid,
                              const std::vector<ExtentRange>& ranges, BlockWatch watch) {
  BlockScan scan(cold, grid, ranges);
  std::string chain;
  while (true) {
    CAIRN_TRY(watch(scan.done(), scan.total()));
    const std::span<const ScannedBlock> blocks = scan.Next();
    if (blocks.empty()) return chain;
    for (size_t i = 0; i < blocks.size();) {
      Hasher hasher;
      for (const size_t end = i + grid.blocks(); i < end; ++i) {
        CAIRN_TRY(blocks[i].status);
        hasher.Update(blocks[i].payload.data(), blocks[i].payload.size());
      }
      chain = NextChain(chain, hasher);
    }
  }
}

}  // namespace cairn
