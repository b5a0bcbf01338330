#include "tests/support/gguf_writer.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/dtype.h"
#include "model/gguf_parser.h"

namespace cairn::test {
namespace {

constexpr size_t kAlignment = 32;

template <class T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutString(std::string& out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out += text;
}

template <class T>
void PutArray(std::string& out, GgufKind kind, const std::vector<T>& values) {
  Put(out, static_cast<uint32_t>(kind));
  Put<uint64_t>(out, values.size());
  for (const T value : values) Put(out, value);
}

void Pad(std::string& out) { out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment); }

std::string Encoded(GgmlType type, const std::vector<float>& values) {
  std::string out;
  if (type == GgmlType::kQ8_0) {
    CAIRN_CHECK(values.size() % 32 == 0);
    for (size_t block = 0; block < values.size(); block += 32) {
      float largest = 0;
      for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(values[block + i]));
      const uint16_t scale = FloatToHalf(largest / 127.0f);
      const float step = HalfToFloat(scale);
      Put(out, scale);
      for (size_t i = 0; i < 32; ++i) {
        const float steps = step > 0 ? std::round(values[block + i] / step) : 0;
        Put(out, static_cast<int8_t>(std::clamp(steps, -127.0f, 127.0f)));
      }
    }
    return out;
  }
  CAIRN_CHECK(type == GgmlType::kF32 || type == GgmlType::kF16 || type == GgmlType::kBF16);
  const DType plain = type == GgmlType::kF32   ? DType::kF32
                      : type == GgmlType::kF16 ? DType::kF16
                                               : DType::kBF16;
  out.resize(values.size() * DTypeBytes(plain));
  ConvertFromFloat(plain, values.data(), out.data(), values.size());
  return out;
}

}  // namespace

void GgufWriter::Key(std::string_view key, uint32_t value_type) {
  ++keys_;
  PutString(metadata_, key);
  Put(metadata_, value_type);
}

void GgufWriter::AddUint8(std::string_view key, uint8_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kUint8));
  Put(metadata_, value);
}
void GgufWriter::AddInt8(std::string_view key, int8_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kInt8));
  Put(metadata_, value);
}
void GgufWriter::AddUint16(std::string_view key, uint16_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kUint16));
  Put(metadata_, value);
}
void GgufWriter::AddInt16(std::string_view key, int16_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kInt16));
  Put(metadata_, value);
}
void GgufWriter::AddUint32(std::string_view key, uint32_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kUint32));
  Put(metadata_, value);
}
void GgufWriter::AddInt32(std::string_view key, int32_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kInt32));
  Put(metadata_, value);
}
void GgufWriter::AddUint64(std::string_view key, uint64_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kUint64));
  Put(metadata_, value);
}
void GgufWriter::AddInt64(std::string_view key, int64_t value) {
  Key(key, static_cast<uint32_t>(GgufKind::kInt64));
  Put(metadata_, value);
}
void GgufWriter::AddFloat32(std::string_view key, float value) {
  Key(key, static_cast<uint32_t>(GgufKind::kFloat32));
  Put(metadata_, value);
}
void GgufWriter::AddFloat64(std::string_view key, double value) {
  Key(key, static_cast<uint32_t>(GgufKind::kFloat64));
  Put(metadata_, value);
}
void GgufWriter::AddBool(std::string_view key, bool value) {
  Key(key, static_cast<uint32_t>(GgufKind::kBool));
  Put<uint8_t>(metadata_, value ? 1 : 0);
}
void GgufWriter::AddString(std::string_view key, std::string_view value) {
  Key(key, static_cast<uint32_t>(GgufKind::kString));
  PutString(metadata_, value);
}
void GgufWriter::AddStrings(std::string_view key, const std::vector<std::string>& values) {
  Key(key, static_cast<uint32_t>(GgufKind::kArray));
  Put(metadata_, static_cast<uint32_t>(GgufKind::kString));
  Put<uint64_t>(metadata_, values.size());
  for (const std::string& value : values) PutString(metadata_, value);
}
void GgufWriter::AddInt32s(std::string_view key, const std::vector<int32_t>& values) {
  Key(key, static_cast<uint32_t>(GgufKind::kArray));
  PutArray(metadata_, GgufKind::kInt32, values);
}
void GgufWriter::AddUint32s(std::string_view key, const std::vector<uint32_t>& values) {
  Key(key, static_cast<uint32_t>(GgufKind::kArray));
  PutArray(metadata_, GgufKind::kUint32, values);
}
void GgufWriter::AddFloat32s(std::string_view key, const std::vector<float>& values) {
  Key(key, static_cast<uint32_t>(GgufKind::kArray));
  PutArray(metadata_, GgufKind::kFloat32, values);
}
void GgufWriter::AddRaw(std::string_view key, uint32_t value_type, std::string_view value_bytes) {
  Key(key, value_type);
  metadata_ += value_bytes;
}

void GgufWriter::AddTensor(std::string_view name, GgmlType type, const std::vector<uint64_t>& dims,
                           const std::vector<float>& values) {
  AddRawTensor(name, static_cast<uint32_t>(type), dims, Encoded(type, values));
}

void GgufWriter::AddRawTensor(std::string_view name, uint32_t type,
                              const std::vector<uint64_t>& dims, std::string_view data) {
  ++tensors_;
  PutString(tensor_list_, name);
  Put(tensor_list_, static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) Put(tensor_list_, dim);
  Put(tensor_list_, type);
  Put<uint64_t>(tensor_list_, data_.size());
  data_ += data;
  Pad(data_);
}

std::string GgufWriter::Bytes() const {
  std::string out = "GGUF";
  Put<uint32_t>(out, 3);
  Put(out, tensors_);
  Put(out, keys_);
  out += metadata_;
  out += tensor_list_;
  if (tensors_ > 0) Pad(out);
  return out + data_;
}

Status GgufWriter::Write(const std::string& path) const { return WriteFileBytes(path, Bytes()); }

Status WriteFileBytes(const std::string& path, std::string_view bytes) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "wb"));
  if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size() ||
      std::fflush(file.get()) != 0) {
    return Fail(Errc::kIo, "cannot write '{}': {}", path, std::strerror(errno));
  }
  return Ok();
}

}  // namespace cairn::test
