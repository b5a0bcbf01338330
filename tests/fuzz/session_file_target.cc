// Files of exported sessions. An input that begins with 'C' is a file as it is; of any other the
// first byte goes, and the rest are parts (fuzz_input.h) of a file whose checksums fit.
#include <string>
#include <vector>

#include "base/check.h"
#include "storage/byte_reader.h"
#include "storage/memory_cold_store.h"
#include "storage/session_file.h"
#include "storage/session_import.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"

namespace cairn::test {
namespace {

std::string WithChecksums(std::string_view input) {
  std::string file = "CAIRNSES";
  AppendBytes(file, kSessionFileVersion);
  AppendBytes(file, uint32_t{0});
  Hasher hasher;
  hasher.Update(file);
  uint32_t number = 0;
  const auto add = [&](PartKind kind, std::string_view body) {
    std::string part;
    AppendBytes(part, static_cast<uint32_t>(kind));
    AppendBytes(part, number++);
    AppendBytes(part, uint64_t{body.size()});
    const uint64_t seed = Hash64(part.data(), part.size());
    part.append(body);
    AppendBytes(part, Hash64(body.data(), body.size(), seed));
    hasher.Update(part);
    file += part;
  };
  FuzzParts parts(input);
  for (FuzzPart part; parts.Next(part);) add(static_cast<PartKind>(part.kind), part.body);
  add(PartKind::kEnd, hasher.Hex());
  return file;
}

constexpr auto kIgnore = [](uint64_t, uint64_t) { return Status(Ok()); };

/// What was imported can be read, all of it.
void ReadImported(MemoryColdStore& store, const SessionCatalog& catalog,
                  const SessionRecord& record, const ExportedSession& file) {
  const auto tokens = catalog.ReadTokens(record);
  CAIRN_CHECK(tokens.has_value() && tokens.value() == file.tokens);
  const auto tail = catalog.ReadTail(record);
  CAIRN_CHECK(tail.has_value() && tail.value() == file.tail);
  for (uint16_t layer = 0; layer < 2; ++layer) {
    CAIRN_CHECK(catalog.ReadSections(record, std::nullopt, layer).has_value());
  }
  for (const ExtentRange& range : record.ranges) {
    std::vector<std::byte> bytes(file.grid.payload_bytes);
    std::byte* target = bytes.data();
    const BlockId last{range.extent, range.first + range.count - 1,
                       static_cast<uint16_t>(file.grid.layers - 1),
                       static_cast<uint16_t>(file.grid.heads - 1)};
    CAIRN_CHECK(store.ReadBlocks({&last, 1}, bytes.size(), {&target, 1}).has_value());
  }
}

void Import(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto read = ReadSessionFile(
      file.path(),
      [](const ExportedSession&, uint32_t, std::span<const std::byte>) { return Ok(); }, kIgnore);
  MemoryColdStore store;
  auto catalog = SessionCatalog::Open(store, false);
  CAIRN_CHECK(catalog.has_value());
  const auto made = ImportSession(store, catalog.value(), file.path(), "imported", kIgnore);
  if (made) {
    CAIRN_CHECK(read.has_value());
    ReadImported(store, catalog.value(), made.value(), read.value());
    return;
  }
  const auto extents = store.Extents();  // nothing is left of what failed
  CAIRN_CHECK(extents.has_value() && extents.value().empty());
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0 && data[0] != 'C') {
    const std::string file = cairn::test::WithChecksums(cairn::test::TextOf(data + 1, size - 1));
    cairn::test::Import({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
  } else {
    cairn::test::Import({data, size});
  }
  return 0;
}
