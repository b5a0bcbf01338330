#include "storage/access_trace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "storage/block_table.h"
#include "storage/memory_cold_store.h"
#include "storage/tiered_store.h"
#include "store_fixture.h"

namespace cairn {
namespace {

struct Access {
  AccessKind kind = AccessKind::kFetch;
  std::vector<BlockId> ids;
  bool operator==(const Access&) const = default;
};

std::vector<Access> Accesses(const AccessLog& log) {
  std::vector<Access> all;
  for (const AccessLog::Event& event : log.events) {
    const auto ids = log.Of(event);
    all.push_back({event.kind, {ids.begin(), ids.end()}});
  }
  return all;
}

void WriteTrace(const std::string& path, const std::vector<Access>& accesses) {
  const auto trace = AccessTrace::Create(path);
  ASSERT_GOOD(trace);
  for (const Access& access : accesses) trace.value()->Record(access.kind, access.ids);
  ASSERT_GOOD(trace.value()->Finish());
}

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

BlockId RandomId(std::mt19937_64& random) {
  const auto pick = [&](uint64_t most) { return Pick(random, 4) == 0 ? most : random() % 100; };
  return {.extent = pick(UINT64_MAX),
          .ordinal = static_cast<uint32_t>(pick(UINT32_MAX)),
          .layer = static_cast<uint16_t>(pick(UINT16_MAX)),
          .head = static_cast<uint16_t>(pick(UINT16_MAX))};
}

std::vector<Access> RandomAccesses(std::mt19937_64& random, int count) {
  std::vector<Access> accesses;
  for (int i = 0; i < count; ++i) {
    Access access{static_cast<AccessKind>(Pick(random, 3)), {}};
    const uint32_t ids = access.kind == AccessKind::kFetch ? Pick(random, 30) : 1;
    for (uint32_t j = 0; j < ids; ++j) access.ids.push_back(RandomId(random));
    accesses.push_back(std::move(access));
  }
  return accesses;
}

TEST(AccessTrace, ReadsBackWhatWasRecorded) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  for (const int count : {0, 1, 2, 50, 5000}) {  // the last one has several parts
    const auto accesses = RandomAccesses(random, count);
    WriteTrace(path, accesses);
    EXPECT_FALSE(std::filesystem::exists(path + ".new"));
    const auto log = ReadAccessLog(path);
    ASSERT_GOOD(log);
    EXPECT_EQ(Accesses(log.value()), accesses);
  }
}

TEST(AccessTrace, NeighboursTakeFewBytes) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  Access access{AccessKind::kFetch, {}};
  for (uint32_t i = 0; i < 1000; ++i) access.ids.push_back({7, 500 + i * 9 % 31, 3, 1});
  WriteTrace(path, {access});
  EXPECT_LT(std::filesystem::file_size(path), 1000 + 84u);
}

TEST(AccessTrace, EveryFlippedBitAndEveryCutIsFound) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  WriteTrace(path, RandomAccesses(random, 6));
  const std::string whole = Bytes(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << Pick(random, 8)));
    WriteBytes(path, damaged);
    const auto log = ReadAccessLog(path);
    ASSERT_FALSE(log.has_value()) << "byte " << i;
    EXPECT_NE(log.error().message.find(path), std::string::npos);
    WriteBytes(path, whole.substr(0, i));
    EXPECT_ERROR(ReadAccessLog(path), Errc::kCorruption, "trace");
  }
  WriteBytes(path, whole + "x");
  EXPECT_ERROR(ReadAccessLog(path), Errc::kCorruption, "behind the end");
  std::string newer = whole;
  newer[8] = static_cast<char>(kTraceVersion + 1);
  WriteBytes(path, newer);
  EXPECT_ERROR(ReadAccessLog(path), Errc::kUnsupported, "newer");
}

TEST(AccessTrace, SaysWhoseItIs) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  struct Case {
    std::vector<TraceSource> opened;
    TraceSource told;
  };
  for (const Case& one : {Case{{}, {}}, Case{{{7, 3}}, {7, 3}}, Case{{{7, 3}, {7, 3}}, {7, 3}},
                          Case{{{7, 3}, {7, 4}, {7, 3}}, {7, 0}},
                          Case{{{7, 3}, {8, 3}, {7, 3}}, {0, 0}}, Case{{{0, 1}}, {0, 1}}}) {
    const auto trace = AccessTrace::Create(path);
    ASSERT_GOOD(trace);
    for (const TraceSource& source : one.opened) trace.value()->AddSource(source);
    ASSERT_GOOD(trace.value()->Finish());
    ASSERT_GOOD(ReadAccessLog(path));
    EXPECT_EQ(ReadAccessLog(path).value().source, one.told);
  }
}

TEST(AccessTrace, OlderOnesAreReadAndAreNobodys) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  const auto accesses = RandomAccesses(random, 50);
  WriteTrace(path, accesses);
  std::string older = Bytes(path);
  older[8] = 1;
  WriteBytes(path, older);
  EXPECT_ERROR(ReadAccessLog(path), Errc::kCorruption, "behind the end");
  older.resize(older.size() - 24);
  WriteBytes(path, older);
  const auto log = ReadAccessLog(path);
  ASSERT_GOOD(log);
  EXPECT_EQ(Accesses(log.value()), accesses);
  EXPECT_EQ(log.value().source, TraceSource{});
}

TEST(AccessTrace, SaysWhatIsWrongWithAPath) {
  const TempDirectory directory;
  EXPECT_ERROR(ReadAccessLog(directory.path() + "/none"), Errc::kNotFound, "there is no file");
  EXPECT_ERROR(ReadAccessLog(directory.path()), Errc::kInvalidArgument, "regular");
  EXPECT_ERROR(AccessTrace::Create(directory.path()), Errc::kInvalidArgument, "directory");
  EXPECT_ERROR(AccessTrace::Create(directory.path() + "/no/trace"), Errc::kIo, "no/trace.new");
  WriteBytes(directory.path() + "/text", "In the beginning");
  EXPECT_ERROR(ReadAccessLog(directory.path() + "/text"), Errc::kCorruption, "is not a trace");
}

TEST(AccessTrace, AnUnfinishedOneLeavesNothing) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  WriteBytes(path, "an older one");
  {
    const auto trace = AccessTrace::Create(path);
    ASSERT_GOOD(trace);
    EXPECT_TRUE(trace.value()->empty());
  }
  EXPECT_EQ(Bytes(path), "an older one");
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(AccessTrace, AFailedWriteIsToldAtTheEnd) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const auto trace = AccessTrace::Create(path);
  ASSERT_GOOD(trace);
  close(reader);
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  trace.value()->Record(AccessKind::kSeal, std::vector<BlockId>{{1, 2, 0, 0}});
  EXPECT_ERROR(trace.value()->Finish(), Errc::kIo, "cannot write " + path);
  std::signal(SIGPIPE, before);
  EXPECT_TRUE(std::filesystem::is_fifo(path));
}

TEST(AccessTrace, RecordsWhatAStoreIsAskedFor) {
  constexpr size_t kPayloadBytes = 240;
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  const auto trace = AccessTrace::Create(path);
  ASSERT_GOOD(trace);
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  const TieredStoreOptions options{.payload_bytes = kPayloadBytes,
                                   .host_bytes = 8 * (256 + BlockTable::kBytesPerSlot),
                                   .min_pinned_blocks = 4,
                                   .trace = trace.value().get()};
  const auto store = TieredStore::Open(options, cold);
  ASSERT_GOOD(store);
  const std::vector<BlockId> three = {{1, 2, 0, 0}, {1, 5, 0, 0}, {1, 2, 0, 0}};
  const BlockId sealed{2, 0, 0, 0}, gone{9, 0, 0, 0};
  ASSERT_GOOD(store.value()->Fetch(three));
  ASSERT_GOOD(store.value()->Seal(sealed, PayloadOf(sealed, kPayloadBytes)));
  ASSERT_GOOD(store.value()->StartFetch({&three[1], 1}).Wait());
  ASSERT_GOOD(store.value()->StartFetch({&sealed, 1}).Wait());
  EXPECT_FALSE(store.value()->Fetch({&gone, 1}).has_value());
  ASSERT_GOOD(store.value()->Discard(2, 0));
  ASSERT_GOOD(trace.value()->Finish());
  const auto log = ReadAccessLog(path);
  ASSERT_GOOD(log);
  const std::vector<Access> expected = {
      {AccessKind::kFetch, three},      {AccessKind::kSeal, {sealed}},
      {AccessKind::kFetch, {three[1]}}, {AccessKind::kFetch, {sealed}},
      {AccessKind::kFetch, {gone}},     {AccessKind::kDiscard, {sealed}}};
  EXPECT_EQ(Accesses(log.value()), expected);
}

TEST(AccessTrace, ThreadsDoNotMixTheirAccesses) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/trace";
  const auto trace = AccessTrace::Create(path);
  ASSERT_GOOD(trace);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 2000; ++i) {
        const std::vector<BlockId> ids(5, BlockId{t + 1, i, 0, 0});
        trace.value()->Record(AccessKind::kFetch, ids);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_GOOD(trace.value()->Finish());
  const auto log = ReadAccessLog(path);
  ASSERT_GOOD(log);
  uint32_t next[4] = {};
  for (const Access& access : Accesses(log.value())) {
    ASSERT_EQ(access.ids.size(), 5u);
    uint32_t& expected = next[access.ids[0].extent - 1];
    for (const BlockId& id : access.ids) {
      ASSERT_EQ(id.extent, access.ids[0].extent);
      ASSERT_EQ(id.ordinal, expected);
    }
    ++expected;
  }
  for (const uint32_t count : next) EXPECT_EQ(count, 2000u);
}

}  // namespace
}  // namespace cairn
