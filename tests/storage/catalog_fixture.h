// What tests of sessions in a store share: sessions of small blocks with two layers and one head,
// and a store in memory or on disk to put them into.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "storage/block_scan.h"
#include "storage/memory_cold_store.h"
#include "storage/session_catalog.h"
#include "store_fixture.h"

namespace cairn {

/// The blocks of the sessions that Extend makes.
inline constexpr BlockGrid kTestGrid{.layers = 2, .heads = 1, .payload_bytes = 64};
inline constexpr uint16_t kTestSections = 1;  ///< type of their summaries

SessionCatalog OpenCatalog(ColdStore& cold, bool read_only = false);

/// An empty session that goes on in an extent of its own.
SessionRecord NewSession(SessionCatalog& catalog, const std::string& name);

/// Writes `count` blocks after the record's last ones and commits them with some tokens, a tail
/// and a summary of four bytes a block.
Status Extend(ColdStore& cold, SessionCatalog& catalog, SessionRecord& record, uint32_t count,
              std::vector<uint32_t> tokens, std::string tail);

std::string JoinedBytes(const std::vector<SummarySection>& sections);
void ExpectSame(const SessionRecord& a, const SessionRecord& b);
/// Reads all of a session: blocks as WriteAll wrote them, these tokens and this tail, and a summary
/// for each block.
void ExpectWhole(ColdStore& cold, const SessionCatalog& catalog, const std::string& name,
                 const std::vector<uint32_t>& tokens, const std::string& tail);

/// Does one operation with one fault armed, and says whether it went well.
using WithFault = FunctionRef<bool(FunctionRef<bool()> operation)>;
/// Runs `attempt` on new stores in memory, over and over: it prepares the store, does one operation
/// under `with_fault`, which fails the first, the second, ... call of the store, and looks at what
/// is there afterwards, when nothing fails any more. Until the operation has passed without a
/// fault.
void FailEachCall(FunctionRef<void(ColdStore& cold, WithFault with_fault)> attempt);

/// A test over a store that the parameter names: "memory" or "rocks".
class StoreTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { Reopen(); }
  ColdStore& cold() { return rocks_ != nullptr ? static_cast<ColdStore&>(*rocks_) : memory_; }
  /// As a program started anew finds the store.
  void Reopen();

 private:
  TempDirectory directory_;
  MemoryColdStore memory_;
  std::unique_ptr<RocksColdStore> rocks_;
};

}  // namespace cairn
