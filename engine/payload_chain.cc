#include "engine/payload_chain.h"

namespace cairn {

std::string NextChain(const std::string& chain, const Hasher& block) {
  Hasher hasher;
  hasher.Update(chain);
  hasher.Update(block.Hex());
  return hasher.Hex();
}

std::string ExtendChain(std::string chain, const BlockGrid& grid,
                        std::span<const std::byte> payloads) {
  for (size_t i = 0; i < payloads.size(); i += grid.bytes()) {
    Hasher block;
    block.Update(payloads.data() + i, grid.bytes());
    chain = NextChain(chain, block);
  }
  return chain;
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
