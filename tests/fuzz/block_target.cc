// Block keys, block records of format 1, and the entries of runs: { 16 key bytes, record or body }.
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "storage/block_format.h"
#include "storage/block_run.h"
#include "storage/catalog_format.h"
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
  // A record that verifies is what its trailer makes of its payload, and of nothing else.
  WriteTrailer({key.data(), key.size()}, kBlockMagic, sealed);
  const bool same = std::memcmp(sealed.data(), record.data(), sealed.size()) == 0;
  CAIRN_CHECK(VerifyRecord(id.value(), record).has_value() == same);
  CAIRN_CHECK(VerifyRecord(id.value(), sealed).has_value());
  BlockId other = id.value();
  other.ordinal ^= 1;
  CAIRN_CHECK(!VerifyRecord(other, sealed).has_value());
}

void ReadRun(std::string_view input) {
  const auto id = DecodeBlockKey(input.substr(0, kBlockKeyBytes));
  if (!id) return;
  const std::string body(input.substr(kBlockKeyBytes));
  const std::string key = RunKey(id.value()), value = SealValue(key, body);
  CAIRN_CHECK(FirstInRunKey(key).value() == id.value());
  const auto run = DecodeRun(key, value);
  if (run) {
    CAIRN_CHECK(EncodeRun(run.value()) == value);
    const uint32_t last = run.value().blocks - 1;
    CAIRN_CHECK(run.value().IndexOf(id.value()) == 0u);
    CAIRN_CHECK(run.value().IndexOf(run.value().At(last)) == last);
    CAIRN_CHECK(run.value().end() > run.value().offset);
  }
  CAIRN_CHECK(!DecodeRun(key, body + "?").has_value());
  const std::string other = ChecksumsKey(id.value());
  const auto checksums = DecodeChecksums(other, SealValue(other, body), 1);
  CAIRN_CHECK(checksums.has_value() == (body.size() % 8 == 0 && !body.empty()));
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadRecord(cairn::test::TextOf(data, size));
  cairn::test::ReadRun(cairn::test::TextOf(data, size));
  return 0;
}
