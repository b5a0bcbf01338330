// Sessions in files of their own: they come back as they were, or not at all.
#include "storage/session_file.h"

#include <filesystem>
#include <fstream>

#include "catalog_fixture.h"
#include "storage/catalog_format.h"
#include "storage/faulty_cold_store.h"
#include "storage/session_import.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };
constexpr auto kNoSink = [](const ExportedSession&, uint32_t,
                            std::span<const std::byte>) -> Status { return Ok(); };

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class SessionFile : public StoreTest {
 protected:
  std::string path() const { return files_.path() + "/novel.cairn"; }

  /// Session "a": six blocks in two extents, five tokens, a tail.
  SessionRecord MakeSource(ColdStore& store) {
    SessionCatalog catalog = OpenCatalog(store);
    SessionRecord record = NewSession(catalog, "a");
    EXPECT_TRUE(Extend(store, catalog, record, 4, {1, 2, 3}, "first"));
    record.ranges.push_back({catalog.NewExtent().value(), 0, 0});
    record.rows = 99;
    EXPECT_TRUE(Extend(store, catalog, record, 2, {4, 5}, "tail"));
    return record;
  }
  Result<uint64_t> Export(ColdStore& store, const std::string& name) {
    SessionCatalog catalog = OpenCatalog(store, true);
    CAIRN_TRY(const SessionRecord record, catalog.Find(name));
    return ExportSession(store, catalog, record, kTestGrid, path(), kNoWatch);
  }
  Result<SessionRecord> Import(ColdStore& store, const std::string& name) {
    CAIRN_TRY(SessionCatalog catalog, SessionCatalog::Open(store, false));
    return ImportSession(store, catalog, path(), name, kNoWatch);
  }
  /// All that a session has, wherever its blocks are.
  static std::string Contents(ColdStore& store, const std::string& name) {
    SessionCatalog catalog = OpenCatalog(store, true);
    const SessionRecord record = catalog.Find(name).value();
    std::string all = fmt::format("{} {} {} {}", record.properties, record.rows, record.commits,
                                  catalog.ReadTail(record).value());
    const std::vector<uint32_t> tokens = catalog.ReadTokens(record).value();
    for (const uint32_t token : tokens) all += fmt::format(" {}", token);
    for (uint16_t layer = 0; layer < kTestGrid.layers; ++layer) {
      all += " " + JoinedBytes(catalog.ReadSections(record, std::nullopt, layer).value());
    }
    BlockScan scan(store, kTestGrid, record.ranges);
    for (auto blocks = scan.Next(); !blocks.empty(); blocks = scan.Next()) {
      for (const ScannedBlock& block : blocks) {
        EXPECT_TRUE(block.status);
        all += fmt::format(" {:x}", Hash64(block.payload.data(), block.payload.size()));
      }
    }
    return all;
  }
  /// Everything in the store but the numbers it gives out next.
  static MetaEntries Entries(ColdStore& store) {
    MetaEntries entries = store.ScanMeta("").value();
    std::erase_if(entries, [](const auto& entry) { return entry.first == kNextKey; });
    return entries;
  }

  TempDirectory files_;
};

TEST_P(SessionFile, ComesBackAsItWasInAnyStore) {
  MakeSource(cold());
  const std::string contents = Contents(cold(), "a");
  const Result<uint64_t> bytes = Export(cold(), "a");
  ASSERT_GOOD(bytes);
  EXPECT_EQ(fs::file_size(path()), bytes.value());
  EXPECT_FALSE(fs::exists(path() + ".new"));
  MemoryColdStore other;
  ASSERT_GOOD(Import(other, "x"));
  EXPECT_EQ(Contents(other, "x"), contents);
  const Result<SessionRecord> again = Import(cold(), "again");
  ASSERT_GOOD(again);
  EXPECT_EQ(again.value().ranges.size(), 1u);
  Reopen();
  for (const char* name : {"a", "again"}) EXPECT_EQ(Contents(cold(), name), contents);
  // And it is on its own.
  SessionCatalog catalog = OpenCatalog(cold());
  EXPECT_EQ(catalog.Delete("a").value(), 6u);
  SessionRecord record = catalog.Find("again").value();
  record.ranges.push_back({catalog.NewExtent().value(), 0, 0});
  ASSERT_GOOD(Extend(cold(), catalog, record, 1, {6}, ""));
}

TEST_P(SessionFile, AForkAndAnEmptySessionGoToo) {
  const SessionRecord source = MakeSource(cold());
  SessionCatalog catalog = OpenCatalog(cold());
  const ForkPoint point{.blocks = 5, .tokens = 4, .properties = "fork"};
  ASSERT_GOOD(catalog.Fork(source, "fork", point));
  ASSERT_GOOD(catalog.Create("empty", "nothing"));
  for (const char* name : {"fork", "empty"}) {
    ASSERT_GOOD(Export(cold(), name));
    MemoryColdStore other;
    ASSERT_GOOD(Import(other, name));
    EXPECT_EQ(Contents(other, name), Contents(cold(), name));
    EXPECT_ERROR(Import(other, name), Errc::kExists, name);
  }
}

TEST_P(SessionFile, DamageInTheStoreIsAnErrorAndTheOldFileStays) {
  const SessionRecord source = MakeSource(cold());
  FaultyColdStore faulty(cold());
  WriteFile(path(), "precious");
  faulty.Damage({source.ranges[1].extent, 1, 1, 0});
  EXPECT_ERROR(Export(faulty, "a"), Errc::kCorruption, "block 1 layer 1 head 0 is damaged");
  EXPECT_EQ(ReadFile(path()), "precious");
  EXPECT_FALSE(fs::exists(path() + ".new"));
  fs::create_directory(files_.path() + "/folder");
  SessionCatalog catalog = OpenCatalog(cold());
  EXPECT_ERROR(
      ExportSession(cold(), catalog, source, kTestGrid, files_.path() + "/folder", kNoWatch),
      Errc::kInvalidArgument, "is a directory");
  EXPECT_ERROR(
      ExportSession(cold(), catalog, source, kTestGrid, files_.path() + "/no/file", kNoWatch),
      Errc::kIo, "/no/file.new: No such file");
}

INSTANTIATE_TEST_SUITE_P(Stores, SessionFile, testing::Values("memory", "rocks"));

class SessionFileDamage : public SessionFile {};
INSTANTIATE_TEST_SUITE_P(Memory, SessionFileDamage, testing::Values("memory"));

TEST_P(SessionFileDamage, EveryFlippedByteIsFoundAndNothingIsImported) {
  MakeSource(cold());
  ASSERT_GOOD(Export(cold(), "a"));
  const std::string whole = ReadFile(path());
  MemoryColdStore other;
  OpenCatalog(other);
  const MetaEntries before = Entries(other);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    WriteFile(path(), damaged);
    const auto imported = Import(other, "x");
    ASSERT_FALSE(imported) << i;
    const Error& error = imported.error();
    EXPECT_NE(error.message.find(path()), std::string::npos) << error.message;
    const bool version = i >= 8 && i < 12;
    EXPECT_EQ(error.code, version ? Errc::kUnsupported : Errc::kCorruption) << error.message;
    if (i >= 16) {
      EXPECT_NE(error.message.find("is damaged in part"), std::string::npos) << error.message;
    }
    EXPECT_TRUE(other.Extents().value().empty());
  }
  EXPECT_EQ(Entries(other), before);
}

TEST_P(SessionFileDamage, AFileCutShortOrTooLongIsFound) {
  MakeSource(cold());
  ASSERT_GOOD(Export(cold(), "a"));
  const std::string whole = ReadFile(path());
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFile(path(), whole.substr(0, size));
    EXPECT_ERROR(ReadSessionFile(path(), kNoSink, kNoWatch), Errc::kCorruption, path());
  }
  WriteFile(path(), whole + "x");
  EXPECT_ERROR(ReadSessionFile(path(), kNoSink, kNoWatch), Errc::kCorruption, "behind the end");
  WriteFile(path(), whole);
  ASSERT_GOOD(ReadSessionFile(path(), kNoSink, kNoWatch));
  fs::remove(path());
  EXPECT_ERROR(ReadSessionFile(path(), kNoSink, kNoWatch), Errc::kNotFound, path());
}

/// Files whose checksums fit and whose parts do not.
TEST_P(SessionFileDamage, PartsThatDoNotBelongTogetherAreRefused) {
  MakeSource(cold());
  ASSERT_GOOD(Export(cold(), "a"));
  std::vector<SessionFilePart> parts;
  {
    SessionFileReader reader = SessionFileReader::Open(path()).value();
    while (parts.empty() || parts.back().kind != PartKind::kEnd) {
      parts.push_back(reader.Next().value());
    }
  }
  parts.pop_back();
  const auto refused = [&](const std::vector<SessionFilePart>& others, const char* saying) {
    {
      SessionFileWriter writer = SessionFileWriter::Create(path()).value();
      for (const SessionFilePart& part : others) ASSERT_GOOD(writer.Add(part.kind, part.body));
      ASSERT_GOOD(writer.Finish());
    }
    EXPECT_ERROR(ReadSessionFile(path(), kNoSink, kNoWatch), Errc::kCorruption, saying);
  };
  refused({}, "do not stand here");
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<SessionFilePart> others = parts;
    others.erase(others.begin() + static_cast<int64_t>(i));
    if (parts[i].kind != PartKind::kSection) refused(others, "is damaged in part");
    others = parts;
    others[i].body += "xyz";
    if (parts[i].kind != PartKind::kSession) refused(others, "is damaged in part");
    others[i].body = "";
    refused(others, "is damaged in part");
    others = parts;
    others.insert(others.begin(), parts[i]);
    refused(others, "is damaged in part");
  }
  std::vector<SessionFilePart> unknown = parts;
  unknown.push_back({static_cast<PartKind>(7), "later"});
  refused(unknown, "is damaged in part");
}

/// Fails every operation in turn; afterwards the session is wholly there or nothing of it is.
TEST_P(SessionFileDamage, AnAbortedImportLeavesNothing) {
  MakeSource(cold());
  ASSERT_GOOD(Export(cold(), "a"));
  const std::string contents = Contents(cold(), "a");
  bool passed = false;
  for (uint64_t nth = 1; !passed; ++nth) {
    ASSERT_LT(nth, 50u);
    MemoryColdStore memory;
    OpenCatalog(memory);
    const MetaEntries before = Entries(memory);
    FaultyColdStore faulty(memory);
    faulty.FailNth(ColdOperation::kAny, nth);
    const bool made = Import(faulty, "x").has_value();
    passed = made && faulty.Armed();
    faulty.Heal();
    OpenCatalog(memory);
    if (made) {
      EXPECT_EQ(Contents(memory, "x"), contents);
    } else {
      EXPECT_EQ(Entries(memory), before);
      EXPECT_TRUE(memory.Extents().value().empty());
    }
  }
}

TEST_P(SessionFileDamage, AWatchEndsBothWays) {
  MakeSource(cold());
  ASSERT_GOOD(Export(cold(), "a"));
  const auto stop = [](uint64_t, uint64_t) -> Status { return Fail(Errc::kInterrupted, "enough"); };
  SessionCatalog catalog = OpenCatalog(cold());
  const uint64_t extents = cold().Extents().value().size();
  EXPECT_ERROR(ImportSession(cold(), catalog, path(), "x", stop), Errc::kInterrupted, "enough");
  EXPECT_EQ(cold().Extents().value().size(), extents);
  const std::string whole = ReadFile(path());
  EXPECT_ERROR(ExportSession(cold(), catalog, catalog.Find("a").value(), kTestGrid, path(), stop),
               Errc::kInterrupted, "enough");
  EXPECT_EQ(ReadFile(path()), whole);
}

}  // namespace
}  // namespace cairn
