// The mark of what was acknowledged: the file as it is.
#include "base/check.h"
#include "storage/acknowledged.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"

namespace cairn::test {
namespace {

bool Same(const Acknowledged& a, const Acknowledged& b) {
  return a.sequence == b.sequence && a.manifest == b.manifest &&
         a.manifest_bytes == b.manifest_bytes && a.log == b.log && a.log_bytes == b.log_bytes;
}

void ReadMark(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto mark = ReadAcknowledged(file.path());
  if (!mark || !mark.value()) return;
  const MemoryFile again({});
  WriteAcknowledged(again.path(), *mark.value());
  const auto read = ReadAcknowledged(again.path());
  CAIRN_CHECK(read.has_value() && read.value() && Same(*read.value(), *mark.value()));
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadMark({data, size});
  return 0;
}
