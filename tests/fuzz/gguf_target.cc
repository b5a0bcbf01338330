// GGUF files, as they are: metadata of every kind, all tensors, and a model of them.
#include "base/check.h"
#include "model/adapter_set.h"
#include "model/gguf.h"
#include "model/llama.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"

namespace cairn::test {
namespace {

void ReadKey(const GgufFile& file, const char* key) {
  (void)file.Uint(key).has_value();
  (void)file.Float(key).has_value();
  (void)file.Bool(key).has_value();
  (void)file.String(key).has_value();
  (void)file.Strings(key).has_value();
  (void)file.Ints(key).has_value();
  (void)file.Floats(key).has_value();
}

void ReadFile(std::span<const uint8_t> bytes) {
  const MemoryFile memory(bytes);
  const auto file = GgufFile::Open(memory.path());
  if (!file) return;
  for (const char* key : {"general.architecture", "general.alignment", "u8", "i64", "f64", "flag",
                          "text", "numbers", "floats", "texts", "nested"}) {
    ReadKey(file.value(), key);
  }
  CAIRN_CHECK(file.value().Fingerprint().size() == 32);
  for (const GgufTensor& tensor : file.value().tensors()) {
    const auto numbers = file.value().ReadFloats(tensor.name);
    CAIRN_CHECK(!numbers || numbers.value().size() == tensor.count);
  }
  if (!Llama::CheckSupported(file.value()).has_value()) return;
  (void)Llama::Load(file.value(), AdapterSet(), LinearKind::kReference).has_value();
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadFile({data, size});
  return 0;
}
