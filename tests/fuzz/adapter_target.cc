// LoRA adapters as GGUF files, as they are; each is added to weights of the shape it says.
#include <vector>

#include "base/check.h"
#include "model/adapter.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"

namespace cairn::test {
namespace {

constexpr int64_t kMostRows = 64;
/// Rows and columns that factors of the corpus have; others must be refused.
constexpr int64_t kSides[] = {8, 16, 24};

void ReadAdapter(std::span<const uint8_t> bytes) {
  const MemoryFile memory(bytes);
  const auto adapter = Adapter::Open(memory.path(), 0.5);
  if (!adapter) return;
  CAIRN_CHECK(adapter.value().Fingerprint().size() == 32);
  std::vector<float> weights(kMostRows * kMostRows);
  for (const std::string& name : adapter.value().targets()) {
    CAIRN_CHECK(adapter.value().Has(name));
    for (const int64_t n_out : kSides) {
      for (const int64_t n_in : kSides) {
        (void)adapter.value().AddTo(name, weights.data(), n_out, n_in).has_value();
      }
    }
  }
  const auto base = GgufFile::Open(memory.path());
  CAIRN_CHECK(base.has_value());
  (void)adapter.value().CheckTargets(base.value()).has_value();
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadAdapter({data, size});
  return 0;
}
