// Block records and block keys: { 16 key bytes, record }.
#include <cstring>
#include <vector>

#include "base/check.h"
#include "storage/block_format.h"
#include "tests/fuzz/fuzz_input.h"

namespace cairn::test {
namespace {

void ReadRecord(std::string_view input) {
  const auto id = DecodeBlockKey(input.substr(0, kBlockKeyBytes));
  CAIRN_CHECK(id.has_value() == (input.size() >= kBlockKeyBytes));
  if (!id) return;
  const BlockKey key = EncodeBlockKey(id.value());
  CAIRN_CHECK(std::memcmp(key.data(), input.data(), key.size()) == 0);

  const auto record = std::as_bytes(std::span(input)).subspan(kBlockKeyBytes);
  std::vector<std::byte> sealed(record.begin(), record.end());
  if (sealed.size() < kTrailerBytes) {
    CAIRN_CHECK(!VerifyRecord(id.value(), sealed).has_value());
    return;
  }
  // A record that verifies is what SealRecord makes of its payload, and of nothing else.
  SealRecord(id.value(), sealed);
  const bool same = std::memcmp(sealed.data(), record.data(), sealed.size()) == 0;
  CAIRN_CHECK(VerifyRecord(id.value(), record).has_value() == same);
  CAIRN_CHECK(VerifyRecord(id.value(), sealed).has_value());
  BlockId other = id.value();
  other.ordinal ^= 1;
  CAIRN_CHECK(!VerifyRecord(other, sealed).has_value());
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadRecord(cairn::test::TextOf(data, size));
  return 0;
}
