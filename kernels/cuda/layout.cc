#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostRows = 1024;
constexpr int32_t kMostHeadDim = 256;

template <Element kElement, DType kType>
constexpr bool kSame = static_cast<int>(kElement) == static_cast<int>(kType) &&
                       ElementBytes(kElement) == static_cast<int64_t>(DTypeBytes(kType));
static_assert(kSame<Element::kF32, DType::kF32> && kSame<Element::kF16, DType::kF16> &&
              kSame<Element::kBF16, DType::kBF16> && kSame<Element::kQ8, DType::kQ8>);

}  // namespace

Status CheckShape(const BlockShape& shape) {
  const int32_t dim = shape.head_dim;
  if (dim < 2 || dim > kMostHeadDim || dim % 2 != 0) {
    return Fail(Errc::kUnsupported,
                "heads of {} numbers are not for CUDA kernels, which take even sizes up to {}; use "
                "the CPU",
                dim, kMostHeadDim);
  }
  if (shape.block_rows < 1 || shape.block_rows > kMostRows) {
    return Fail(Errc::kUnsupported,
                "blocks of {} rows are not for CUDA kernels, which take up to {}; use smaller ones",
                shape.block_rows, kMostRows);
  }
  return Ok();
}

Layout LayoutOf(const BlockShape& shape) {
  return {shape.block_rows,
          shape.head_dim,
          static_cast<Element>(shape.dtype),
          static_cast<int64_t>(shape.row_bytes()),
          static_cast<int64_t>(shape.value_offset(0)),
          static_cast<int64_t>(shape.scales_offset())};
}

Rotation RotationOf(const DeviceRope& rope) {
  return {rope.table, rope.positions, rope.style == RopeStyle::kInterleaved};
}

Status Launched(const char* what, const char* error) {
  if (error == nullptr) return Ok();
  return Fail(Errc::kIo, "{} failed on the CUDA device: {}", what, error);
}

}  // namespace cairn::cuda
