// GgufFile: a memory-mapped GGUF file (version 2 or 3, little-endian): its metadata by key and its
// tensors in place.
//
// Open() checks everything that can be checked without reading the weights: every length, count,
// offset and product of dimensions against the file's size. A file that opens can be read without
// further checks of bounds; what is missing or of another kind is an Error naming file and key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/quants.h"

namespace cairn {

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> dims;       ///< 1 to 4, none zero; dims[0] = row length, dims[1] = rows
  const std::byte* data = nullptr;  ///< inside the mapping, 8-byte aligned; the file owns it
  uint64_t bytes = 0;
  uint64_t count = 0;  ///< numbers in all: the product of dims

  uint64_t RowLength() const { return dims[0]; }
  uint64_t Rows() const { return count / dims[0]; }
};

/// Move-only and immutable: any thread may read. Pointers to tensors and their data stay valid when
/// the GgufFile moves, and go with it. The file must not change while it is open.
class GgufFile {
 public:
  /// kNotFound if there is no such file; kInvalidArgument if it is not GGUF; kUnsupported for other
  /// versions and byte orders; kCorruption, saying what and where, if it is damaged.
  static Result<GgufFile> Open(const std::string& path);
  ~GgufFile();
  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;

  const std::string& path() const;
  uint64_t file_bytes() const;

  bool Has(std::string_view key) const;
  /// The value of `key`: kNotFound if it is missing, kMismatch if it is of another kind. Uint takes
  /// any non-negative integer, Float any number, Ints any array of integers, Floats any array of
  /// numbers.
  Result<uint64_t> Uint(std::string_view key) const;
  Result<double> Float(std::string_view key) const;
  Result<bool> Bool(std::string_view key) const;
  Result<std::string> String(std::string_view key) const;
  Result<std::vector<std::string>> Strings(std::string_view key) const;
  Result<std::vector<int64_t>> Ints(std::string_view key) const;
  Result<std::vector<float>> Floats(std::string_view key) const;
  /// The same with a value for a missing key; one of another kind is still an error.
  Result<uint64_t> UintOr(std::string_view key, uint64_t fallback) const;
  Result<double> FloatOr(std::string_view key, double fallback) const;
  Result<bool> BoolOr(std::string_view key, bool fallback) const;
  Result<std::string> StringOr(std::string_view key, std::string_view fallback) const;

  /// In file order; names are distinct and no two overlap.
  const std::vector<GgufTensor>& tensors() const;
  /// Null if there is none of that name.
  const GgufTensor* Find(std::string_view name) const;
  /// All numbers of a tensor. kNotFound, or kUnsupported for a type that Dequantize refuses; both
  /// name file and tensor.
  Result<std::vector<float>> ReadFloats(std::string_view name) const;

  /// 32 hexadecimal digits over the file's size, its whole header (metadata and tensor list) and
  /// samples of every tensor (first and last 4 KiB). Tells models apart; it does not prove that
  /// every weight is intact.
  std::string Fingerprint() const;

 private:
  struct State;
  explicit GgufFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
