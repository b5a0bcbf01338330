#include "model/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

namespace cairn {
namespace {

// Limits far above any real file, so that a damaged count is an error and not a huge allocation.
constexpr uint64_t kMaxKeys = 65536;
constexpr uint64_t kMaxTensors = 262144;
constexpr uint64_t kMaxKeyBytes = 65535;  // the format's own limit
constexpr uint64_t kMaxNameBytes = 255;
constexpr uint32_t kMaxDims = 4;
constexpr int kMaxArrayDepth = 4;
constexpr uint64_t kMinAlignment = 8;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kDefaultAlignment = 32;

/// Where in the bytes the parser stands. Every read checks what is left first.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  const std::string& path() const { return path_; }
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  const std::byte* here() const { return bytes_.data() + position_; }

  Error Damaged(std::string_view problem) const {
    return Fail(Errc::kCorruption, "'{}' is damaged at byte {}: {}; get the file again", path_,
                position_, problem);
  }

  Status Skip(uint64_t bytes, std::string_view what) {
    if (bytes > left()) {
      return Damaged(fmt::format("the file ends inside {}, which needs {} bytes of the {} left",
                                 what, bytes, left()));
    }
    position_ += bytes;
    return Ok();
  }

  template <class T>
  Result<T> Number(std::string_view what) {
    const std::byte* source = here();
    CAIRN_TRY(Skip(sizeof(T), what));
    T value;
    std::memcpy(&value, source, sizeof(T));
    return value;
  }

  Result<std::string_view> String(std::string_view what, uint64_t max_bytes) {
    CAIRN_TRY(const uint64_t length, Number<uint64_t>(what));
    if (length > max_bytes) {
      return Damaged(fmt::format("{} is {} bytes long, the most is {}", what, length, max_bytes));
    }
    const auto* text = reinterpret_cast<const char*>(here());
    CAIRN_TRY(Skip(length, what));
    return std::string_view(text, length);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  uint64_t position_ = 0;
};

Result<GgufKind> ReadKind(Cursor& cursor, std::string_view what) {
  CAIRN_TRY(const uint32_t number, cursor.Number<uint32_t>(what));
  if (number > static_cast<uint32_t>(GgufKind::kFloat64)) {
    return cursor.Damaged(fmt::format("{} has the unknown value type {}", what, number));
  }
  return static_cast<GgufKind>(number);
}

Result<GgufValue> ReadValue(Cursor& cursor, GgufKind kind, std::string_view what, int depth);

Result<GgufValue> ReadArray(Cursor& cursor, std::string_view what, int depth) {
  if (depth >= kMaxArrayDepth) {
    return cursor.Damaged(fmt::format("{} nests arrays deeper than {}", what, kMaxArrayDepth));
  }
  CAIRN_TRY(const GgufKind kind, ReadKind(cursor, what));
  CAIRN_TRY(const uint64_t count, cursor.Number<uint64_t>(what));
  const GgufValue value{kind, true, count, cursor.here()};
  if (const size_t bytes = GgufKindBytes(kind); bytes > 0) {
    if (count > cursor.left() / bytes) {
      return cursor.Damaged(fmt::format("{} has {} elements, more than the file", what, count));
    }
    CAIRN_TRY(cursor.Skip(count * bytes, what));
    return value;
  }
  // Each turn reads at least 8 bytes or fails, so a huge count ends at the end of the file.
  for (uint64_t i = 0; i < count; ++i) {
    CAIRN_TRY(ReadValue(cursor, kind, what, depth + 1));
  }
  return value;
}

Result<GgufValue> ReadValue(Cursor& cursor, GgufKind kind, std::string_view what, int depth) {
  if (kind == GgufKind::kArray) return ReadArray(cursor, what, depth);
  const GgufValue value{kind, false, 1, cursor.here()};
  if (kind == GgufKind::kString) {
    CAIRN_TRY(cursor.String(what, cursor.left()));
    return value;
  }
  CAIRN_TRY(cursor.Skip(GgufKindBytes(kind), what));
  if (kind == GgufKind::kBool && std::to_integer<int>(*value.data) > 1) {
    return cursor.Damaged(fmt::format("{} is neither true nor false", what));
  }
  return value;
}

struct Counts {
  uint64_t tensors;
  uint64_t keys;
};

Result<Counts> ReadPreamble(Cursor& cursor, const std::string& path) {
  if (cursor.left() < 4 || std::memcmp(cursor.here(), "GGUF", 4) != 0) {
    return Fail(Errc::kInvalidArgument, "'{}' is not a GGUF file; name a model ending in .gguf",
                path);
  }
  CAIRN_TRY(cursor.Skip(4, "the magic number"));
  CAIRN_TRY(const uint32_t version, cursor.Number<uint32_t>("the version"));
  if (version != 0 && (version & 0xffffu) == 0) {
    return Fail(Errc::kUnsupported, "'{}' is a big-endian GGUF file; convert it to little-endian",
                path);
  }
  if (version != 2 && version != 3) {
    return Fail(Errc::kUnsupported,
                "'{}' is GGUF version {}, and only 2 and 3 can be read; convert the model again",
                path, version);
  }
  Counts counts{};
  CAIRN_TRY(counts.tensors, cursor.Number<uint64_t>("the number of tensors"));
  CAIRN_TRY(counts.keys, cursor.Number<uint64_t>("the number of metadata keys"));
  if (counts.tensors > kMaxTensors || counts.keys > kMaxKeys) {
    return cursor.Damaged(fmt::format("{} tensors and {} metadata keys, the most are {} and {}",
                                      counts.tensors, counts.keys, kMaxTensors, kMaxKeys));
  }
  return counts;
}

Status ReadMetadata(Cursor& cursor, uint64_t keys, GgufContents& contents) {
  for (uint64_t i = 0; i < keys; ++i) {
    CAIRN_TRY(const std::string_view key, cursor.String("a metadata key", kMaxKeyBytes));
    const std::string what = fmt::format("metadata '{}'", Printable(key));
    CAIRN_TRY(const GgufKind kind, ReadKind(cursor, what));
    CAIRN_TRY(const GgufValue value, ReadValue(cursor, kind, what, 0));
    if (!contents.metadata.emplace(key, value).second) {
      return cursor.Damaged(fmt::format("{} is there twice", what));
    }
  }
  return Ok();
}

Result<uint64_t> ReadAlignment(const Cursor& cursor, const GgufContents& contents) {
  const auto found = contents.metadata.find("general.alignment");
  if (found == contents.metadata.end()) return kDefaultAlignment;
  const GgufValue& value = found->second;
  if (value.kind != GgufKind::kUint32 || value.is_array) {
    return cursor.Damaged("general.alignment is not an unsigned integer of 32 bits");
  }
  uint32_t alignment;
  std::memcpy(&alignment, value.data, sizeof(alignment));
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    return cursor.Damaged(fmt::format("general.alignment is {}, not a power of two from {} to {}",
                                      alignment, kMinAlignment, kMaxAlignment));
  }
  return alignment;
}

Status ReadDims(Cursor& cursor, std::string_view what, GgufTensor& tensor) {
  CAIRN_TRY(const uint32_t dims, cursor.Number<uint32_t>(what));
  if (dims < 1 || dims > kMaxDims) {
    return cursor.Damaged(fmt::format("{} has {} dimensions, not 1 to {}", what, dims, kMaxDims));
  }
  tensor.count = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    CAIRN_TRY(const uint64_t dim, cursor.Number<uint64_t>(what));
    if (dim == 0 || __builtin_mul_overflow(tensor.count, dim, &tensor.count) ||
        tensor.count > INT64_MAX) {
      return cursor.Damaged(fmt::format("{} has an impossible dimension {}", what, dim));
    }
    tensor.dims.push_back(dim);
  }
  return Ok();
}

/// Sets type and bytes.
Status ReadType(Cursor& cursor, std::string_view what, GgufTensor& tensor) {
  CAIRN_TRY(const uint32_t number, cursor.Number<uint32_t>(what));
  const std::optional<GgmlType> type = GgmlTypeFromNumber(number);
  if (!type) {
    return Fail(Errc::kUnsupported,
                "{} of '{}' is of type {}, which is not known here; convert the model to a known "
                "type, e.g. Q8_0, or get the file again",
                what, cursor.path(), number);
  }
  const GgmlBlock block = GgmlBlockOf(*type);
  if (tensor.dims[0] % block.values != 0) {
    return cursor.Damaged(fmt::format("{} has rows of {} numbers, not whole blocks of {} ({} each)",
                                      what, tensor.dims[0], GgmlTypeName(*type), block.values));
  }
  tensor.type = *type;
  if (__builtin_mul_overflow(tensor.count / block.values, block.bytes, &tensor.bytes)) {
    return cursor.Damaged(fmt::format("{} has more bytes than can be", what));
  }
  return Ok();
}

/// Reads the tensor list; `offsets` [tensors] count from the start of the data section.
Status ReadTensorList(Cursor& cursor, uint64_t count, GgufContents& contents,
                      std::vector<uint64_t>& offsets) {
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensor tensor;
    CAIRN_TRY(const std::string_view name, cursor.String("a tensor's name", kMaxNameBytes));
    tensor.name = name;
    const std::string what = fmt::format("tensor '{}'", Printable(name));
    CAIRN_TRY(ReadDims(cursor, what, tensor));
    CAIRN_TRY(ReadType(cursor, what, tensor));
    CAIRN_TRY(const uint64_t offset, cursor.Number<uint64_t>(what));
    offsets.push_back(offset);
    contents.tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < contents.tensors.size(); ++i) {
    const std::string& name = contents.tensors[i].name;
    if (!contents.tensor_index.emplace(name, i).second) {
      return cursor.Damaged(fmt::format("tensor '{}' is there twice", Printable(name)));
    }
  }
  return Ok();
}

/// Gives every tensor its data; the data section is what is left after the cursor.
Status PlaceTensors(const Cursor& cursor, uint64_t alignment, const std::vector<uint64_t>& offsets,
                    std::vector<GgufTensor>& tensors) {
  std::vector<size_t> order(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    order[i] = i;
    GgufTensor& tensor = tensors[i];
    const std::string name = Printable(tensor.name);
    if (offsets[i] % alignment != 0) {
      return cursor.Damaged(fmt::format("tensor '{}' starts at {}, not a multiple of {}", name,
                                        offsets[i], alignment));
    }
    if (offsets[i] > cursor.left() || tensor.bytes > cursor.left() - offsets[i]) {
      return cursor.Damaged(
          fmt::format("tensor '{}' ({} bytes at {}) goes beyond the {} that follow", name,
                      tensor.bytes, offsets[i], cursor.left()));
    }
    tensor.data = cursor.here() + offsets[i];
  }
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = tensors[order[i - 1]];
    const GgufTensor& after = tensors[order[i]];
    if (before.data + before.bytes > after.data) {
      return cursor.Damaged(fmt::format("tensors '{}' and '{}' overlap", Printable(before.name),
                                        Printable(after.name)));
    }
  }
  return Ok();
}

}  // namespace

std::string_view GgufKindName(GgufKind kind) {
  switch (kind) {
    case GgufKind::kUint8:
      return "unsigned integer of 8 bits";
    case GgufKind::kInt8:
      return "integer of 8 bits";
    case GgufKind::kUint16:
      return "unsigned integer of 16 bits";
    case GgufKind::kInt16:
      return "integer of 16 bits";
    case GgufKind::kUint32:
      return "unsigned integer of 32 bits";
    case GgufKind::kInt32:
      return "integer of 32 bits";
    case GgufKind::kFloat32:
      return "float of 32 bits";
    case GgufKind::kBool:
      return "truth value";
    case GgufKind::kString:
      return "string";
    case GgufKind::kArray:
      return "array";
    case GgufKind::kUint64:
      return "unsigned integer of 64 bits";
    case GgufKind::kInt64:
      return "integer of 64 bits";
    case GgufKind::kFloat64:
      return "float of 64 bits";
  }
  return "?";
}

size_t GgufKindBytes(GgufKind kind) {
  switch (kind) {
    case GgufKind::kUint8:
    case GgufKind::kInt8:
    case GgufKind::kBool:
      return 1;
    case GgufKind::kUint16:
    case GgufKind::kInt16:
      return 2;
    case GgufKind::kUint32:
    case GgufKind::kInt32:
    case GgufKind::kFloat32:
      return 4;
    case GgufKind::kUint64:
    case GgufKind::kInt64:
    case GgufKind::kFloat64:
      return 8;
    case GgufKind::kString:
    case GgufKind::kArray:
      return 0;
  }
  return 0;
}

Result<GgufContents> ParseGguf(std::span<const std::byte> bytes, const std::string& path) {
  Cursor cursor(bytes, path);
  GgufContents contents;
  std::vector<uint64_t> offsets;
  CAIRN_TRY(const Counts counts, ReadPreamble(cursor, path));
  CAIRN_TRY(ReadMetadata(cursor, counts.keys, contents));
  CAIRN_TRY(const uint64_t alignment, ReadAlignment(cursor, contents));
  CAIRN_TRY(ReadTensorList(cursor, counts.tensors, contents, offsets));
  contents.header_bytes = cursor.position();
  if (!contents.tensors.empty()) {
    const uint64_t padding = (alignment - cursor.position() % alignment) % alignment;
    CAIRN_TRY(cursor.Skip(padding, "the padding before the tensors"));
    CAIRN_TRY(PlaceTensors(cursor, alignment, offsets, contents.tensors));
  }
  return contents;
}

std::string Printable(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string result(text.substr(0, kMost));
  for (char& c : result) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text.size() > kMost) result += "...";
  return result;
}

}  // namespace cairn
