#include "model/gguf.h"

#include <concepts>
#include <cstring>
#include <limits>
#include <utility>

#include "base/hash.h"
#include "model/gguf_parser.h"
#include "model/mapped_file.h"

namespace cairn {
namespace {

constexpr uint64_t kSampleBytes = 4096;

template <class T>
T Load(const std::byte* source) {
  T value;
  std::memcpy(&value, source, sizeof(T));
  return value;
}

bool IsInteger(GgufKind kind) {
  return kind <= GgufKind::kInt32 || kind == GgufKind::kUint64 || kind == GgufKind::kInt64;
}
bool IsNumber(GgufKind kind) {
  return IsInteger(kind) || kind == GgufKind::kFloat32 || kind == GgufKind::kFloat64;
}

/// Calls visit(number) with element `i` of a numeric value, in the type it is stored as.
template <class Visit>
auto VisitNumber(const GgufValue& value, uint64_t i, Visit visit) {
  const std::byte* data = value.data + i * GgufKindBytes(value.kind);
  switch (value.kind) {
    case GgufKind::kUint8:
      return visit(Load<uint8_t>(data));
    case GgufKind::kInt8:
      return visit(Load<int8_t>(data));
    case GgufKind::kUint16:
      return visit(Load<uint16_t>(data));
    case GgufKind::kInt16:
      return visit(Load<int16_t>(data));
    case GgufKind::kUint32:
      return visit(Load<uint32_t>(data));
    case GgufKind::kInt32:
      return visit(Load<int32_t>(data));
    case GgufKind::kUint64:
      return visit(Load<uint64_t>(data));
    case GgufKind::kInt64:
      return visit(Load<int64_t>(data));
    case GgufKind::kFloat32:
      return visit(Load<float>(data));
    default:
      return visit(Load<double>(data));
  }
}

/// Element `i` as T if it fits; only for integers.
template <std::integral T>
bool IntegerAt(const GgufValue& value, uint64_t i, T* out) {
  return VisitNumber(value, i, [out](auto number) {
    if constexpr (std::integral<decltype(number)>) {
      *out = static_cast<T>(number);
      return std::in_range<T>(number);
    } else {
      return false;
    }
  });
}

std::string_view StringAt(const std::byte* data) {
  return {reinterpret_cast<const char*>(data + 8), Load<uint64_t>(data)};
}

}  // namespace

struct GgufFile::State {
  std::string path;
  MappedFile mapping;
  GgufContents contents;

  Result<const GgufValue*> Find(std::string_view key) const {
    const auto found = contents.metadata.find(key);
    if (found == contents.metadata.end()) {
      return Fail(Errc::kNotFound, "'{}' has no metadata '{}'; use a complete conversion", path,
                  key);
    }
    return &found->second;
  }

  Error Mismatch(std::string_view key, const GgufValue& value, std::string_view wanted) const {
    return Fail(Errc::kMismatch, "metadata '{}' of '{}' is {}{}, not {}; convert the model again",
                key, path, value.is_array ? "array of " : "", GgufKindName(value.kind), wanted);
  }
};

GgufFile::GgufFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
GgufFile::~GgufFile() = default;
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;

Result<GgufFile> GgufFile::Open(const std::string& path) {
  CAIRN_TRY(MappedFile mapping, MappedFile::Open(path));
  CAIRN_TRY(GgufContents contents, ParseGguf(mapping.bytes(), path));
  GgufFile file(std::make_unique<State>(State{path, std::move(mapping), std::move(contents)}));
  CAIRN_TRY(const uint64_t parts, file.UintOr("split.count", 1));
  if (parts > 1) {
    return Fail(Errc::kUnsupported,
                "'{}' is one of {} parts of a model; merge them first (gguf-split --merge)", path,
                parts);
  }
  return file;
}

const std::string& GgufFile::path() const { return state_->path; }
uint64_t GgufFile::file_bytes() const { return state_->mapping.bytes().size(); }

bool GgufFile::Has(std::string_view key) const {
  return state_->contents.metadata.find(key) != state_->contents.metadata.end();
}

Result<uint64_t> GgufFile::Uint(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  uint64_t number = 0;
  if (value->is_array || !IsInteger(value->kind) || !IntegerAt(*value, 0, &number)) {
    return state_->Mismatch(key, *value, "a number that is whole and not negative");
  }
  return number;
}

Result<double> GgufFile::Float(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  if (value->is_array || !IsNumber(value->kind)) return state_->Mismatch(key, *value, "a number");
  return VisitNumber(*value, 0, [](auto number) { return static_cast<double>(number); });
}

Result<bool> GgufFile::Bool(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  if (value->is_array || value->kind != GgufKind::kBool) {
    return state_->Mismatch(key, *value, "a truth value");
  }
  return Load<uint8_t>(value->data) == 1;
}

Result<std::string> GgufFile::String(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  if (value->is_array || value->kind != GgufKind::kString) {
    return state_->Mismatch(key, *value, "a string");
  }
  return std::string(StringAt(value->data));
}

Result<std::vector<std::string>> GgufFile::Strings(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  if (!value->is_array || value->kind != GgufKind::kString) {
    return state_->Mismatch(key, *value, "an array of strings");
  }
  std::vector<std::string> strings;
  strings.reserve(value->count);
  const std::byte* data = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {
    strings.emplace_back(StringAt(data));
    data += 8 + strings.back().size();
  }
  return strings;
}

Result<std::vector<int64_t>> GgufFile::Ints(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  if (!value->is_array || !IsInteger(value->kind)) {
    return state_->Mismatch(key, *value, "an array of integers");
  }
  std::vector<int64_t> numbers(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    if (!IntegerAt(*value, i, &numbers[i])) {
      return state_->Mismatch(key, *value, "an array of integers below 2^63");
    }
  }
  return numbers;
}

Result<std::vector<float>> GgufFile::Floats(std::string_view key) const {
  CAIRN_TRY(const GgufValue* value, state_->Find(key));
  if (!value->is_array || !IsNumber(value->kind)) {
    return state_->Mismatch(key, *value, "an array of numbers");
  }
  std::vector<float> numbers(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    numbers[i] = VisitNumber(*value, i, [](auto number) { return static_cast<float>(number); });
  }
  return numbers;
}

Result<uint64_t> GgufFile::UintOr(std::string_view key, uint64_t fallback) const {
  return Has(key) ? Uint(key) : fallback;
}
Result<double> GgufFile::FloatOr(std::string_view key, double fallback) const {
  return Has(key) ? Float(key) : fallback;
}
Result<bool> GgufFile::BoolOr(std::string_view key, bool fallback) const {
  return Has(key) ? Bool(key) : fallback;
}
Result<std::string> GgufFile::StringOr(std::string_view key, std::string_view fallback) const {
  return Has(key) ? String(key) : std::string(fallback);
}

const std::vector<GgufTensor>& GgufFile::tensors() const { return state_->contents.tensors; }

const GgufTensor* GgufFile::Find(std::string_view name) const {
  const auto found = state_->contents.tensor_index.find(name);
  return found == state_->contents.tensor_index.end() ? nullptr : &tensors()[found->second];
}

Result<std::vector<float>> GgufFile::ReadFloats(std::string_view name) const {
  const GgufTensor* tensor = Find(name);
  if (tensor == nullptr) {
    return Fail(Errc::kNotFound, "'{}' has no tensor '{}'; use a complete conversion", path(),
                name);
  }
  std::vector<float> numbers(tensor->count);
  Status status =
      Dequantize(tensor->type, tensor->data, static_cast<int64_t>(tensor->count), numbers.data());
  if (!status) {
    return Fail(status.error().code, "tensor '{}' of '{}': {}", name, path(),
                status.error().message);
  }
  return numbers;
}

std::string GgufFile::Fingerprint() const {
  const std::span<const std::byte> bytes = state_->mapping.bytes();
  Hasher hasher;
  const uint64_t size = bytes.size();
  hasher.Update(&size, sizeof(size));
  hasher.Update(bytes.data(), state_->contents.header_bytes);
  for (const GgufTensor& tensor : tensors()) {
    const uint64_t sample = std::min(tensor.bytes, kSampleBytes);
    hasher.Update(tensor.data, sample);
    hasher.Update(tensor.data + tensor.bytes - sample, sample);
  }
  return hasher.Hex();
}

}  // namespace cairn
