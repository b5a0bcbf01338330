// GgufWriter: makes small GGUF version 3 files for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/quants.h"

namespace cairn::test {

/// Collects metadata and tensors in call order. Add* never checks; tests may write nonsense.
class GgufWriter {
 public:
  void AddUint8(std::string_view key, uint8_t value);
  void AddInt8(std::string_view key, int8_t value);
  void AddUint16(std::string_view key, uint16_t value);
  void AddInt16(std::string_view key, int16_t value);
  void AddUint32(std::string_view key, uint32_t value);
  void AddInt32(std::string_view key, int32_t value);
  void AddUint64(std::string_view key, uint64_t value);
  void AddInt64(std::string_view key, int64_t value);
  void AddFloat32(std::string_view key, float value);
  void AddFloat64(std::string_view key, double value);
  void AddBool(std::string_view key, bool value);
  void AddString(std::string_view key, std::string_view value);
  void AddStrings(std::string_view key, const std::vector<std::string>& values);
  void AddInt32s(std::string_view key, const std::vector<int32_t>& values);
  void AddUint32s(std::string_view key, const std::vector<uint32_t>& values);
  void AddFloat32s(std::string_view key, const std::vector<float>& values);
  /// A key with a value type and value bytes of the caller's making.
  void AddRaw(std::string_view key, uint32_t value_type, std::string_view value_bytes);

  /// A tensor of `type` (kF32, kF16, kBF16 or kQ8_0; rounded to it). dims as in GgufTensor: row
  /// length first. `values` [product of dims].
  void AddTensor(std::string_view name, GgmlType type, const std::vector<uint64_t>& dims,
                 const std::vector<float>& values);
  /// A tensor-list entry of the caller's making; `data` goes where the next tensor would.
  void AddRawTensor(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims,
                    std::string_view data);

  /// The whole file: header, alignment to 32 bytes, tensor data.
  std::string Bytes() const;
  /// Bytes() at `path`, replacing what was there.
  Status Write(const std::string& path) const;

 private:
  void Key(std::string_view key, uint32_t value_type);

  uint64_t keys_ = 0;
  uint64_t tensors_ = 0;
  std::string metadata_;
  std::string tensor_list_;
  std::string data_;
};

/// `bytes` at `path`, replacing what was there.
Status WriteFileBytes(const std::string& path, std::string_view bytes);

}  // namespace cairn::test
