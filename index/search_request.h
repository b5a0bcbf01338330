// What every LandmarkIndex does alike with a request: checks it and lays out the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"
#include "index/landmark_index.h"

namespace cairn {

/// kInvalidArgument naming `what` if one of the numbers is NaN or infinite, or would be when
/// rounded to `type`.
Status CheckFinite(std::span<const float> numbers, DType type, std::string_view what);

/// Checks the queries for NaN and infinity and sizes the vectors of `result`, whose lse becomes
/// other_lse, or −inf without. The caller's mistakes in the request are CAIRN_CHECKs; `size` is
/// that of the request's partitions.
Status PrepareSearch(const IndexOptions& options, const SearchRequest& request, int64_t size,
                     SearchResult* result);

/// log(exp(a) + exp(b)); either may be −inf.
float JoinLse(float a, float b);

}  // namespace cairn
