#include "storage/block_format.h"

#include <cstring>

#include "store_fixture.h"

namespace cairn {
namespace {

TEST(BlockFormat, KeysHaveTheBytesThatTheDocumentGives) {
  const BlockKey key =
      EncodeBlockKey({.extent = 7, .ordinal = 0x01020304, .layer = 3, .head = 258});
  const std::string expected("\0\0\0\0\0\0\0\x07\x01\x02\x03\x04\0\x03\x01\x02", 16);
  EXPECT_EQ(std::string(key.data(), key.size()), expected);
}

/// As stores of format 1 had it.
std::vector<std::byte> RecordOf(const BlockId& id, size_t payload_bytes) {
  std::vector<std::byte> record = PayloadOf(id, payload_bytes);
  record.resize(payload_bytes + kTrailerBytes);
  const BlockKey key = EncodeBlockKey(id);
  WriteTrailer({key.data(), key.size()}, kBlockMagic, record);
  return record;
}

TEST(BlockFormat, RecordsOfFormat1HaveTheBytesThatTheyHad) {
  std::vector<std::byte> record(8 + kTrailerBytes);
  for (size_t i = 0; i < 8; ++i) record[i] = static_cast<std::byte>(i);
  const BlockKey key = EncodeBlockKey({.extent = 1});
  WriteTrailer({key.data(), key.size()}, kBlockMagic, record);
  const std::vector<uint8_t> expected = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
                                         0xc7, 0x09, 0x96, 0x75, 0x10, 0xfc, 0xed, 0x23,
                                         0x08, 0x00, 0x00, 0x00, 0x43, 0x42, 0x4b, 0x31};
  ASSERT_EQ(record.size(), expected.size());
  EXPECT_EQ(std::memcmp(record.data(), expected.data(), expected.size()), 0);
  EXPECT_EQ(PayloadChecksum({.extent = 1}, std::span(record).first(8)), 0x23edfc10759609c7u);
}

TEST(BlockFormat, KeysOrderAsIdsAndComeBack) {
  std::mt19937_64 random = SeededRandom();
  const auto random_id = [&] {
    const uint32_t shift = Pick(random, 64);
    return BlockId{random() >> shift, static_cast<uint32_t>(random() >> (32 + shift / 2)),
                   static_cast<uint16_t>(random()), static_cast<uint16_t>(random())};
  };
  for (int i = 0; i < 2000; ++i) {
    const BlockId a = random_id();
    const BlockId b = random_id();
    const BlockKey ka = EncodeBlockKey(a), kb = EncodeBlockKey(b);
    const std::string_view va(ka.data(), ka.size()), vb(kb.data(), kb.size());
    EXPECT_EQ(a < b, va < vb);
    const Result<BlockId> back = DecodeBlockKey(va);
    ASSERT_GOOD(back);
    EXPECT_EQ(back.value(), a);
  }
  EXPECT_ERROR(DecodeBlockKey("short"), Errc::kCorruption, "5 bytes");
}

TEST(BlockFormat, EveryFlippedByteIsFound) {
  const BlockId id{9, 4, 2, 1};
  std::vector<std::byte> record = RecordOf(id, 100);
  ASSERT_GOOD(VerifyRecord(id, record));
  for (size_t i = 0; i < record.size(); ++i) {
    record[i] ^= std::byte{1};
    EXPECT_ERROR(VerifyRecord(id, record), Errc::kCorruption, "extent 9 block 4 layer 2 head 1");
    record[i] ^= std::byte{1};
  }
  ASSERT_GOOD(VerifyRecord(id, record));
}

TEST(BlockFormat, RecordOfAnotherBlockIsFound) {
  const BlockId id{9, 4, 2, 1};
  const std::vector<std::byte> record = RecordOf(id, 100);
  for (const BlockId other : {BlockId{8, 4, 2, 1}, {9, 5, 2, 1}, {9, 4, 1, 1}, {9, 4, 2, 2}}) {
    EXPECT_ERROR(VerifyRecord(other, record), Errc::kCorruption, ToString(other));
  }
}

TEST(BlockFormat, RecordOfAnotherSizeIsFound) {
  const BlockId id{1, 2, 3, 4};
  const std::vector<std::byte> record = RecordOf(id, 100);
  for (size_t bytes = 0; bytes < record.size(); ++bytes) {
    EXPECT_FALSE(VerifyRecord(id, std::span(record).first(bytes)).has_value()) << bytes;
  }
}

}  // namespace
}  // namespace cairn
