#include "index/search_request.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace cairn {

Status CheckFinite(std::span<const float> numbers, DType type, std::string_view what) {
  // Rounding to bf16 adds at most 0x7fff + 1 to the bits, and exponent 255 is NaN or infinity.
  const uint32_t limit = type == DType::kBF16 ? 0x7f7f8000u : 0x7f800000u;
  uint32_t largest = 0;
  for (const float number : numbers) {
    largest = std::max(largest, std::bit_cast<uint32_t>(number) & 0x7fffffffu);
  }
  if (largest >= limit) {
    return Fail(Errc::kInvalidArgument,
                "{} hold NaN, infinity or a number too large for {}; look for an overflow in the "
                "layer that made them",
                what, DTypeName(type));
  }
  return Ok();
}

Status PrepareSearch(const IndexOptions& options, const SearchRequest& request, int64_t size,
                     SearchResult* result) {
  CAIRN_CHECK(request.first_partition >= 0 && request.partition_count >= 1);
  CAIRN_CHECK(request.first_partition + request.partition_count <= options.partitions);
  CAIRN_CHECK(request.rows >= 0 && request.rows_per_group >= 1 && request.k >= 0);
  CAIRN_CHECK(request.begin >= 0 && request.begin <= request.end && request.end <= size);
  const auto rows =
      static_cast<size_t>(request.partition_count) * static_cast<size_t>(request.rows);
  CAIRN_TRY(CheckFinite({request.queries, rows * static_cast<size_t>(options.dim)}, options.dtype,
                        "the index's queries"));
  result->groups = (request.rows + request.rows_per_group - 1) / request.rows_per_group;
  result->k = static_cast<int32_t>(std::min<int64_t>(request.k, request.end - request.begin));
  const auto choices = static_cast<size_t>(request.partition_count) *
                       static_cast<size_t>(result->groups) * static_cast<size_t>(result->k);
  result->ordinals.resize(choices);
  result->log_weights.resize(choices);
  result->lse.resize(rows);
  result->lse_exact = true;
  if (request.other_lse != nullptr) {
    std::copy_n(request.other_lse, rows, result->lse.begin());
  } else {
    std::fill(result->lse.begin(), result->lse.end(), -std::numeric_limits<float>::infinity());
  }
  return Ok();
}

float JoinLse(float a, float b) {
  const float top = std::max(a, b);
  if (top == -std::numeric_limits<float>::infinity()) return top;
  return top + std::log(std::exp(a - top) + std::exp(b - top));
}

}  // namespace cairn
