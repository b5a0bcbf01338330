// The indexes that keep each partition's representatives in a store of its own. The exact one keeps
// them as IndexOptions::dtype says and scores every block of the range: its choices and lse are
// exact up to that rounding of them and of the queries. The int8 one keeps 8-bit codes
// (code_store.h): half the memory of bf16 with about the same error, and faster; its lse is that of
// the codes and so marked as estimated. The one of lists (list_store.h) keeps 8-bit codes in lists
// of near vectors and leaves out lists that are not likely to hold a choice: what it does grows
// slower than the number of blocks, and its lse is estimated. `auto` is exact up to kListedFrom
// vectors of a partition and lists from there on.
#pragma once

#include <memory>

#include "index/landmark_index.h"

namespace cairn {

/// Below, all vectors are scored about as fast as lists are looked up (docs/benchmarks.md).
inline constexpr int64_t kListedFrom = 8'192;

/// `options` are valid.
std::unique_ptr<LandmarkIndex> MakeExactIndex(const IndexOptions& options);
std::unique_ptr<LandmarkIndex> MakeInt8Index(const IndexOptions& options);
std::unique_ptr<LandmarkIndex> MakeListIndex(const IndexOptions& options);
std::unique_ptr<LandmarkIndex> MakeAutoIndex(const IndexOptions& options);

}  // namespace cairn
