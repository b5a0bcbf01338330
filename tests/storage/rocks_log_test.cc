#include "storage/rocks_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "storage/acknowledged.h"
#include "store_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

/// A write-ahead log with small records and with some of several fragments.
std::string RealLog(const std::string& store_path) {
  {
    const auto store = OpenWriter(store_path);
    for (const size_t bytes : {10u, 40000u, 100u, 32700u, 70000u, 5u}) {
      EXPECT_TRUE(store->WriteMeta({.puts = {{"key", std::string(bytes, 'x')}}}).has_value());
    }
  }
  for (const auto& entry : fs::directory_iterator(store_path + "/db")) {
    if (entry.path().extension() != ".log") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  return "";
}

TEST(RocksLog, AWholeLogIsSoundAndADamagedOneUpToItsLastWholeRecord) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string log = RealLog(directory.store());
  ASSERT_GT(log.size(), 140000u);
  EXPECT_EQ(SoundBytes(log), log.size());
  EXPECT_EQ(SoundBytes(""), 0u);
  for (int round = 0; round < 300; ++round) {
    const size_t at = Pick(random, static_cast<uint32_t>(log.size()));
    const uint64_t cut = SoundBytes(log.substr(0, at));
    EXPECT_LE(cut, at);
    EXPECT_EQ(SoundBytes(log.substr(0, cut)), cut);
    std::string damaged = log;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    const uint64_t sound = SoundBytes(damaged);
    // Bytes that fill up a block belong to no record.
    if (sound == log.size()) continue;
    EXPECT_LE(sound, at);
    EXPECT_EQ(SoundBytes(log.substr(0, sound)), sound);
    std::string holed = log;  // a sector that a disk has not written
    const size_t hole = at / 512 * 512;
    std::fill_n(holed.begin() + static_cast<std::ptrdiff_t>(hole),
                std::min<size_t>(512, holed.size() - hole), '\0');
    EXPECT_LE(SoundBytes(holed), at);
  }
}

TEST(Acknowledged, IsReadAsItWasWrittenAndDamageIsFound) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/acknowledged";
  EXPECT_EQ(ReadAcknowledged(path).value(), std::nullopt);
  std::ofstream(path).flush();
  EXPECT_EQ(ReadAcknowledged(path).value()->sequence, 0u);
  WriteAcknowledged(path, {.sequence = 7, .manifest = 5, .manifest_bytes = 300, .log = 9});
  const Acknowledged mark = ReadAcknowledged(path).value().value();
  EXPECT_EQ(mark.sequence, 7u);
  EXPECT_EQ(mark.manifest, 5u);
  EXPECT_EQ(mark.manifest_bytes, 300u);
  EXPECT_EQ(mark.log, 9u);
  ASSERT_EQ(fs::file_size(path), 56u);
  for (int at = 0; at < 56; ++at) {
    WriteAcknowledged(path, mark);
    {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(at);
      const char flipped = static_cast<char>(file.get() ^ 0x10);
      file.seekp(at);
      file.put(flipped);
    }
    EXPECT_ERROR(ReadAcknowledged(path), Errc::kCorruption, path);
  }
  WriteAcknowledged(path, mark);
  fs::resize_file(path, 55);
  EXPECT_ERROR(ReadAcknowledged(path), Errc::kCorruption, path);
}

}  // namespace
}  // namespace cairn
