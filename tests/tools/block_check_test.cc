// CheckBlocks: what a writer does meanwhile is no damage; what is damaged is told.
#include "tools/block_check.h"

#include "engine/block_map.h"
#include "storage/faulty_cold_store.h"
#include "tests/storage/catalog_fixture.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

class BlockCheckTest : public testing::Test {
 protected:
  BlockCheckTest() {
    shape_.layers = kTestGrid.layers;
    shape_.kv_heads = kTestGrid.heads;
    shape_.block = {.block_rows = 8, .head_dim = 2, .dtype = DType::kF16};
    EXPECT_EQ(shape_.block.payload_bytes(), kTestGrid.payload_bytes);
    run_.store = directory_.store();
    auto cold = OpenStore(run_, true, false).value();
    SessionCatalog catalog = OpenCatalog(*cold);
    record_ = Add(*cold, catalog, "s");
    Add(*cold, catalog, "other");
  }
  static SessionRecord Add(ColdStore& cold, SessionCatalog& catalog, const std::string& name) {
    SessionRecord record = NewSession(catalog, name);
    EXPECT_TRUE(Extend(cold, catalog, record, 6, {1, 2, 3}, "tail"));
    return record;
  }
  /// Does to the store what a writer does beside a reader that is open.
  void Write(FunctionRef<void(RocksColdStore& cold, SessionCatalog& catalog)> change) const {
    const auto cold = OpenStore(run_, false, false).value();
    SessionCatalog catalog = OpenCatalog(*cold);
    change(*cold, catalog);
  }
  std::vector<ListedBlock> All() const {
    const BlockMap map(record_.ranges);
    std::vector<ListedBlock> blocks;
    for (int64_t block = 0; block < map.size(); ++block) {
      for (int32_t layer = 0; layer < shape_.layers; ++layer) {
        blocks.push_back({block, map.Id(block, layer, 0)});
      }
    }
    return blocks;
  }
  std::unique_ptr<RocksColdStore> Reader() const { return OpenStore(run_, false, true).value(); }
  Result<StoreCheck> Check(ColdStore& reader) const {
    return CheckBlocks(run_, reader, record_, shape_, All());
  }

  TempDirectory directory_;
  RunOptions run_;
  SessionShape shape_;
  SessionRecord record_;
};

TEST_F(BlockCheckTest, AllIsWhole) {
  const auto check = Check(*Reader());
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_TRUE(check.value().findings.empty());
  EXPECT_EQ(check.value().totals.blocks, 12u);
  EXPECT_EQ(check.value().totals.payload_bytes, 12 * kTestGrid.payload_bytes);
}

TEST_F(BlockCheckTest, WhatTheSecondLookFindsWholeIsNoDamage) {
  const auto reader = Reader();
  FaultyColdStore faulty(*reader);
  faulty.Damage(All()[3].id);
  faulty.Damage(All()[8].id, Errc::kIo);
  EXPECT_FALSE(ReadOne(faulty, All()[3].id, kTestGrid.payload_bytes));
  const auto check = Check(faulty);
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_TRUE(check.value().findings.empty());
}

TEST_F(BlockCheckTest, ASessionThatWentMeanwhileIsNotDamaged) {
  const auto reader = Reader();
  const auto expect_gone = [&] {
    const auto check = Check(*reader);
    ASSERT_FALSE(check);
    EXPECT_EQ(check.error().code, Errc::kNotFound);
    EXPECT_NE(check.error().message.find("session 's' was deleted or changed"), std::string::npos);
  };
  Write([](RocksColdStore&, SessionCatalog& catalog) { EXPECT_TRUE(catalog.Delete("s")); });
  EXPECT_FALSE(ReadOne(*reader, All()[0].id, kTestGrid.payload_bytes)) << "what shall be told";
  expect_gone();
  // Nor if another one has its name by now.
  Write([](RocksColdStore& cold, SessionCatalog& catalog) { Add(cold, catalog, "s"); });
  expect_gone();
}

TEST_F(BlockCheckTest, WhatIsNotThereInTheSecondLookEitherIsDamaged) {
  const BlockId gone = All().back().id;
  Write([&](RocksColdStore& cold, SessionCatalog&) {
    EXPECT_TRUE(cold.DropExtent(gone.extent, gone.ordinal));
    EXPECT_TRUE(cold.WriteMeta({}));
  });
  const auto check = Check(*Reader());
  ASSERT_TRUE(check) << check.error().message;
  ASSERT_EQ(check.value().findings.size(), 2u);
  for (const CheckFinding& finding : check.value().findings) {
    EXPECT_FALSE(finding.damage.unreadable());
    EXPECT_EQ(finding.damage.ordinal, 5u);
    EXPECT_EQ(finding.damage.block->ordinal, gone.ordinal);
    EXPECT_EQ(finding.first_token, 5 * shape_.block_tokens());
  }
  EXPECT_EQ(check.value().findings.back().damage.block, gone);
}

}  // namespace
}  // namespace cairn
