// What every ColdStore promises, over every implementation.
#include "storage/cold_store.h"

#include <functional>
#include <thread>

#include "storage/faulty_cold_store.h"
#include "storage/memory_cold_store.h"
#include "storage/scratch_cold_store.h"
#include "store_fixture.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = 1000;

/// An implementation under test with what it stands on.
struct Subject {
  virtual ~Subject() = default;
  virtual ColdStore& store() = 0;
};
struct MemorySubject final : Subject {
  ColdStore& store() override { return memory; }
  MemoryColdStore memory;
};
struct FaultySubject final : Subject {
  ColdStore& store() override { return faulty; }
  MemoryColdStore memory;
  FaultyColdStore faulty{memory};
};
struct ScratchSubject final : Subject {
  ColdStore& store() override { return *scratch; }
  std::unique_ptr<ScratchColdStore> scratch =
      ScratchColdStore::Open(std::make_unique<MemoryColdStore>()).value();
};
struct RocksSubject final : Subject {
  explicit RocksSubject(BlockReads reads)
      : rocks(RocksColdStore::Open(directory.store(), {.create = true, .block_reads = reads})
                  .value()) {}
  ColdStore& store() override { return *rocks; }
  TempDirectory directory;
  std::unique_ptr<RocksColdStore> rocks;
};
template <BlockReads reads>
std::unique_ptr<Subject> MakeRocks() {
  return std::make_unique<RocksSubject>(reads);
}

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<Subject>()> make;
};

class ColdStoreContract : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override { subject_ = GetParam().make(); }
  ColdStore& store() { return subject_->store(); }

 private:
  std::unique_ptr<Subject> subject_;
};

TEST_P(ColdStoreContract, ReadsWhatWasWritten) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 5, 2, 3);
  ASSERT_GOOD(WriteAll(store(), ids, kPayloadBytes));
  for (const BlockId& id : ids) ExpectReads(store(), id, kPayloadBytes);
  const ColdStoreStats stats = store().Stats();
  EXPECT_EQ(stats.bytes_written, ids.size() * kPayloadBytes);
  EXPECT_EQ(stats.bytes_read, ids.size() * kPayloadBytes);
  EXPECT_GE(stats.payload_bytes, stats.bytes_written);
}

TEST_P(ColdStoreContract, ReadsBatchesInAnyOrderWithDuplicates) {
  std::mt19937_64 random = SeededRandom();
  const std::vector<BlockId> written = BlocksOf(3, 10, 20, 2, 2);
  ASSERT_GOOD(WriteAll(store(), written, kPayloadBytes));
  std::vector<BlockId> ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(written[Pick(random, static_cast<uint32_t>(written.size()))]);
  }
  std::vector<std::vector<std::byte>> payloads(ids.size(), std::vector<std::byte>(kPayloadBytes));
  std::vector<std::byte*> targets;
  for (auto& payload : payloads) targets.push_back(payload.data());
  ASSERT_GOOD(store().ReadBlocks(ids, kPayloadBytes, targets));
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(payloads[i], PayloadOf(ids[i], kPayloadBytes));
}

TEST_P(ColdStoreContract, NamesTheBlockThatIsAbsentOrOfAnotherSize) {
  ASSERT_GOOD(WriteAll(store(), BlocksOf(1, 0, 4, 1, 1), kPayloadBytes));
  EXPECT_ERROR(ReadOne(store(), {1, 9, 0, 0}, kPayloadBytes), Errc::kNotFound,
               "extent 1 block 9 layer 0 head 0");
  EXPECT_ERROR(ReadOne(store(), {1, 2, 0, 0}, kPayloadBytes - 1), Errc::kCorruption,
               "extent 1 block 2 layer 0 head 0");
  const std::vector<BlockId> ids = {{1, 0, 0, 0}, {2, 7, 0, 0}, {2, 8, 0, 0}};
  std::vector<std::byte> bytes(3 * kPayloadBytes);
  std::vector<std::byte*> targets;
  for (size_t i = 0; i < 3; ++i) targets.push_back(bytes.data() + i * kPayloadBytes);
  EXPECT_ERROR(store().ReadBlocks(ids, kPayloadBytes, targets), Errc::kNotFound,
               "extent 2 block 7");
}

TEST_P(ColdStoreContract, EmptyBatchesDoNothing) {
  EXPECT_TRUE(store().WriteBlocks({}).has_value());
  EXPECT_TRUE(store().ReadBlocks({}, 100, {}).has_value());
  EXPECT_TRUE(store().WriteMeta({}).has_value());
  EXPECT_TRUE(store().DropExtent(5, 0).has_value());
}

TEST_P(ColdStoreContract, RefusesUnsortedRecords) {
  EXPECT_ERROR(WriteAll(store(), {{1, 1, 0, 0}, {1, 0, 0, 0}}, kPayloadBytes),
               Errc::kInvalidArgument, "sorted");
  EXPECT_ERROR(WriteAll(store(), {{1, 1, 0, 0}, {1, 1, 0, 0}}, kPayloadBytes),
               Errc::kInvalidArgument, "sorted");
  EXPECT_FALSE(ReadOne(store(), {1, 1, 0, 0}, kPayloadBytes).has_value());
}

TEST_P(ColdStoreContract, RefusesWhatDoesNotComeBehindTheRest) {
  ASSERT_GOOD(WriteAll(store(), BlocksOf(1, 2, 3, 2, 2), kPayloadBytes));
  for (const BlockId& id : {BlockId{1, 4, 1, 1}, {1, 2, 0, 0}, {1, 0, 0, 0}}) {
    EXPECT_ERROR(WriteAll(store(), {id}, kPayloadBytes), Errc::kInvalidArgument, ToString(id));
  }
  ASSERT_GOOD(WriteAll(store(), {{1, 5, 0, 0}, {2, 0, 0, 0}}, kPayloadBytes));
}

TEST_P(ColdStoreContract, DropsExtentsWhollyAndFromAnOrdinal) {
  ASSERT_GOOD(WriteAll(store(), BlocksOf(1, 0, 4, 2, 2), kPayloadBytes));
  ASSERT_GOOD(WriteAll(store(), BlocksOf(2, 0, 4, 2, 2), kPayloadBytes));
  ASSERT_GOOD(WriteAll(store(), BlocksOf(2, 4, 4, 2, 2), kPayloadBytes));
  ASSERT_GOOD(WriteAll(store(), BlocksOf(9, 0, 1, 1, 1), kPayloadBytes));
  EXPECT_EQ(store().Extents().value(), (std::vector<uint64_t>{1, 2, 9}));
  ASSERT_GOOD(store().DropExtent(1, 0));
  ASSERT_GOOD(store().DropExtent(2, 3));
  EXPECT_EQ(store().Extents().value(), (std::vector<uint64_t>{2, 9}));
  for (const BlockId& id : BlocksOf(2, 0, 3, 2, 2)) ExpectReads(store(), id, kPayloadBytes);
  for (const BlockId& id : BlocksOf(2, 3, 5, 2, 2)) {
    EXPECT_ERROR(ReadOne(store(), id, kPayloadBytes), Errc::kNotFound, ToString(id));
  }
  ExpectReads(store(), {9, 0, 0, 0}, kPayloadBytes);
  ASSERT_GOOD(WriteAll(store(), BlocksOf(2, 3, 2, 2, 2), kPayloadBytes));  // in their place
  for (const BlockId& id : BlocksOf(2, 0, 5, 2, 2)) ExpectReads(store(), id, kPayloadBytes);
  ASSERT_GOOD(store().DropExtent(2, 0));
  EXPECT_EQ(store().Extents().value(), (std::vector<uint64_t>{9}));
}

TEST_P(ColdStoreContract, MetadataIsKeptAndScannedInOrder) {
  const std::string binary("b/\0\xff\xff", 5);
  ASSERT_GOOD(store().WriteMeta(
      {.puts = {{"b/2", "two"}, {"a", ""}, {binary, "x"}, {"b/1", "one"}, {"c", "see"}}}));
  EXPECT_EQ(store().ReadMeta("b/2").value(), std::optional<std::string>("two"));
  EXPECT_EQ(store().ReadMeta("a").value(), std::optional<std::string>(""));
  EXPECT_EQ(store().ReadMeta("b/").value(), std::nullopt);
  EXPECT_EQ(store().ScanMeta("b/").value(),
            (MetaEntries{{binary, "x"}, {"b/1", "one"}, {"b/2", "two"}}));
  EXPECT_EQ(store().ScanMeta("").value().size(), 5u);
  EXPECT_EQ(store().ScanMeta("d").value().size(), 0u);
}

TEST_P(ColdStoreContract, MetadataBatchesDeleteFirstThenPut) {
  ASSERT_GOOD(store().WriteMeta(
      {.puts = {{"p/1", "1"}, {"p/2", "2"}, {"p/\xff", "3"}, {"q", "4"}, {"p0", "5"}}}));
  ASSERT_GOOD(store().WriteMeta({.puts = {{"p/2", "new"}, {"q", "new"}},
                                 .deletes = {"q", "none"},
                                 .delete_prefixes = {"p/"}}));
  EXPECT_EQ(store().ScanMeta("").value(), (MetaEntries{{"p/2", "new"}, {"p0", "5"}, {"q", "new"}}));
}

TEST_P(ColdStoreContract, ReadersAndWritersMayWorkAtOnce) {
  ASSERT_GOOD(WriteAll(store(), BlocksOf(1, 0, 10, 1, 2), kPayloadBytes));
  std::thread writer([&] {
    for (uint32_t i = 0; i < 10; ++i) {
      EXPECT_TRUE(WriteAll(store(), BlocksOf(2, i, 1, 1, 2), kPayloadBytes).has_value());
      EXPECT_TRUE(store().WriteMeta({.puts = {{"k", std::to_string(i)}}}).has_value());
    }
  });
  for (int round = 0; round < 10; ++round) {
    for (const BlockId& id : BlocksOf(1, 0, 10, 1, 2)) ExpectReads(store(), id, kPayloadBytes);
  }
  writer.join();
  EXPECT_EQ(store().ReadMeta("k").value(), std::optional<std::string>("9"));
  for (const BlockId& id : BlocksOf(2, 0, 10, 1, 2)) ExpectReads(store(), id, kPayloadBytes);
}

INSTANTIATE_TEST_SUITE_P(
    All, ColdStoreContract,
    testing::Values(Implementation{"Memory", [] { return std::make_unique<MemorySubject>(); }},
                    Implementation{"Faulty", [] { return std::make_unique<FaultySubject>(); }},
                    Implementation{"Scratch", [] { return std::make_unique<ScratchSubject>(); }},
                    Implementation{"Rocks", MakeRocks<BlockReads::kAuto>},
                    Implementation{"RocksReadByThreads", MakeRocks<BlockReads::kThreads>}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(MemoryColdStore, KeepsToItsLimit) {
  MemoryColdStore store(10 * kPayloadBytes);
  ASSERT_GOOD(WriteAll(store, BlocksOf(1, 0, 8, 1, 1), kPayloadBytes));
  EXPECT_ERROR(WriteAll(store, BlocksOf(1, 8, 3, 1, 1), kPayloadBytes), Errc::kOutOfSpace, "limit");
  ASSERT_GOOD(store.DropExtent(1, 4));
  ASSERT_GOOD(WriteAll(store, BlocksOf(1, 8, 3, 1, 1), kPayloadBytes));
}

TEST(ScratchColdStore, LeavesTheStoreBelowAsItIs) {
  const TempDirectory directory;
  const MetaEntries entries{{"a/1", "x"}, {"a/2", "y"}, {"b", "z"}};
  {
    const auto writer = OpenWriter(directory.store());
    ASSERT_GOOD(writer->WriteMeta({.puts = entries}));
    ASSERT_GOOD(KeepAll(*writer, BlocksOf(1, 0, 4, 1, 2), kPayloadBytes));
  }
  const MetaEntries kept = OpenRocks(directory.store(), {.read_only = true})->ScanMeta("").value();
  {
    auto scratch =
        ScratchColdStore::Open(OpenRocks(directory.store(), {.read_only = true}), 4 * kPayloadBytes)
            .value();
    ASSERT_GOOD(WriteAll(*scratch, BlocksOf(2, 0, 2, 1, 2), kPayloadBytes));
    EXPECT_ERROR(WriteAll(*scratch, BlocksOf(2, 2, 1, 1, 1), kPayloadBytes), Errc::kOutOfSpace,
                 "limit");
    EXPECT_ERROR(WriteAll(*scratch, BlocksOf(1, 4, 1, 1, 1), kPayloadBytes), Errc::kInvalidArgument,
                 "");
    EXPECT_ERROR(scratch->DropExtent(1, 0), Errc::kInvalidArgument, "only read");
    EXPECT_EQ(scratch->Extents().value(), (std::vector<uint64_t>{1, 2}));
    const std::vector<BlockId> mixed{{2, 1, 0, 1}, {1, 3, 0, 0}, {2, 0, 0, 0}, {1, 0, 0, 1}};
    std::vector<std::vector<std::byte>> payloads(4, std::vector<std::byte>(kPayloadBytes));
    std::vector<std::byte*> targets;
    for (auto& payload : payloads) targets.push_back(payload.data());
    ASSERT_GOOD(scratch->ReadBlocks(mixed, kPayloadBytes, targets));
    for (size_t i = 0; i < mixed.size(); ++i) {
      EXPECT_EQ(payloads[i], PayloadOf(mixed[i], kPayloadBytes));
    }
    ASSERT_GOOD(scratch->DropExtent(2, 1));
    EXPECT_ERROR(ReadOne(*scratch, {2, 1, 0, 0}, kPayloadBytes), Errc::kNotFound, "");
    ASSERT_GOOD(scratch->WriteMeta(
        {.puts = {{"a/3", "new"}, {"b", "other"}}, .deletes = {"b"}, .delete_prefixes = {"a/"}}));
    EXPECT_EQ(scratch->ScanMeta("a").value(), (MetaEntries{{"a/3", "new"}}));
    EXPECT_EQ(scratch->ScanMeta("b").value(), (MetaEntries{{"b", "other"}}));
    EXPECT_EQ(scratch->ReadMeta("a/1").value(), std::nullopt);
    ASSERT_GOOD(scratch->WriteMeta({.puts = {{"a/2", "back"}}}));
    EXPECT_EQ(scratch->ScanMeta("a").value(), (MetaEntries{{"a/2", "back"}, {"a/3", "new"}}));
  }
  const auto after = OpenRocks(directory.store(), {.read_only = true});
  EXPECT_EQ(after->ScanMeta("").value(), kept);
  EXPECT_EQ(after->Extents().value(), std::vector<uint64_t>{1});
}

TEST(FaultyColdStore, FailsWhatItIsToldTo) {
  MemoryColdStore memory;
  FaultyColdStore store(memory);
  store.FailNth(ColdOperation::kReadMeta, 2, Errc::kBusy);
  store.FailNth(ColdOperation::kAny, 4);
  EXPECT_TRUE(store.ReadMeta("a").has_value());
  EXPECT_ERROR(store.ReadMeta("a"), Errc::kBusy, "ReadMeta number 2");
  EXPECT_TRUE(store.Armed());
  EXPECT_TRUE(store.WriteMeta({}).has_value());
  EXPECT_ERROR(store.Extents(), Errc::kIo, "Extents");
  EXPECT_FALSE(store.Armed());
  EXPECT_EQ(store.calls(ColdOperation::kReadMeta), 2u);
  store.LimitSpace(kPayloadBytes);
  ASSERT_GOOD(WriteAll(store, BlocksOf(1, 0, 1, 1, 1), kPayloadBytes));
  EXPECT_ERROR(WriteAll(store, BlocksOf(1, 1, 1, 1, 1), kPayloadBytes), Errc::kOutOfSpace, "space");
  store.Heal();
  ASSERT_GOOD(WriteAll(store, BlocksOf(1, 1, 1, 1, 1), kPayloadBytes));
  store.Damage({1, 1, 0, 0});
  ASSERT_GOOD(ReadOne(store, {1, 0, 0, 0}, kPayloadBytes));
  EXPECT_ERROR(ReadOne(store, {1, 1, 0, 0}, kPayloadBytes), Errc::kCorruption, "block 1");
}

}  // namespace
}  // namespace cairn
