#include "tools/block_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/dtype.h"
#include "kernels/block_rows.h"

namespace cairn {
namespace {

constexpr size_t kMostOutliers = 8;
constexpr size_t kNpyAlignment = 64;

std::vector<float> ReadRows(const BlockShape& shape, std::span<const std::byte> payload,
                            BlockPart part, int32_t first, int32_t rows) {
  const auto dim = static_cast<size_t>(shape.head_dim);
  std::vector<float> numbers(dim * static_cast<size_t>(rows));
  for (int32_t row = 0; row < rows; ++row) {
    float* const target = numbers.data() + static_cast<size_t>(row) * dim;
    (part == BlockPart::kKeys ? ReadKey : ReadValue)(shape, payload.data(), first + row, target);
  }
  return numbers;
}

}  // namespace

ArrayNumbers NumbersOf(const BlockShape& shape, std::span<const std::byte> payload, BlockPart part,
                       int32_t first, int32_t rows) {
  const auto dim = static_cast<size_t>(shape.head_dim);
  const std::vector<float> numbers = ReadRows(shape, payload, part, first, rows);
  ArrayNumbers found;
  std::vector<double> largest(dim);
  double squares = 0;
  int64_t finite = 0;
  for (int32_t row = 0; row < rows; ++row) {
    double norm = 0;
    for (size_t c = 0; c < dim; ++c) {
      const double x = numbers[static_cast<size_t>(row) * dim + c];
      if (!std::isfinite(x)) {
        ++found.not_finite;
        continue;
      }
      found.min = finite == 0 ? x : std::min(found.min, x);
      found.max = finite == 0 ? x : std::max(found.max, x);
      ++finite;
      norm += x * x;
      largest[c] = std::max(largest[c], std::abs(x));
    }
    squares += norm;
    norm = std::sqrt(norm);
    found.norm_min = row == 0 ? norm : std::min(found.norm_min, norm);
    found.norm_max = std::max(found.norm_max, norm);
    found.norm_mean += norm / rows;
  }
  found.rms = finite > 0 ? std::sqrt(squares / static_cast<double>(finite)) : 0;
  for (size_t c = 0; c < dim; ++c) {
    if (largest[c] > kOutlierTimes * found.rms) {
      found.outliers.push_back({static_cast<int32_t>(c), largest[c]});
    }
  }
  std::ranges::stable_sort(found.outliers, std::greater(), &OutlierChannel::largest);
  found.outliers.resize(std::min(found.outliers.size(), kMostOutliers));
  return found;
}

std::string NpyOf(const BlockShape& shape, std::span<const std::byte> payload) {
  const bool halves = shape.dtype == DType::kF16;
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (2, {}, {}), }}",
                  halves ? "<f2" : "<f4", shape.block_rows, shape.head_dim);
  const std::string magic("\x93NUMPY\x01\x00", 8);
  const size_t unpadded = magic.size() + 2 + header.size() + 1;
  header.append((kNpyAlignment - unpadded % kNpyAlignment) % kNpyAlignment, ' ');
  header += '\n';
  std::string file = magic;
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  if (shape.dtype != DType::kQ8) {
    file.append(reinterpret_cast<const char*>(payload.data()), payload.size());
    return file;
  }
  for (const BlockPart part : {BlockPart::kKeys, BlockPart::kValues}) {
    const std::vector<float> numbers = ReadRows(shape, payload, part, 0, shape.block_rows);
    file.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
  }
  return file;
}

Result<BlockPlace> ParseBlockPlace(std::string_view text, const SessionShape& shape,
                                   int64_t blocks) {
  std::array<int64_t, 3> numbers{};
  const char* at = text.data();
  const char* const end = at + text.size();
  bool good = true;
  for (size_t i = 0; good && i < numbers.size(); ++i) {
    const auto [rest, error] = std::from_chars(at, end, numbers[i]);
    good = error == std::errc() &&
           (i + 1 == numbers.size() ? rest == end : rest < end && *rest == '/');
    at = rest + 1;
  }
  if (!good) {
    return Fail(Errc::kInvalidArgument, "'{}' is no block; write BLOCK/LAYER/HEAD, e.g. 12/3/0",
                text);
  }
  const bool there = numbers[0] >= 0 && numbers[0] < blocks && numbers[1] >= 0 &&
                     numbers[1] < shape.layers && numbers[2] >= 0 && numbers[2] < shape.kv_heads;
  if (!there) {
    return Fail(
        Errc::kInvalidArgument,
        "there is no block {}: the session has {} sealed blocks, {} layers and {} KV heads, "
        "all counted from 0",
        text, blocks, shape.layers, shape.kv_heads);
  }
  return BlockPlace{numbers[0], static_cast<int32_t>(numbers[1]), static_cast<int32_t>(numbers[2])};
}

}  // namespace cairn
