// The indexes that score every block of the range. The exact one keeps representatives as
// IndexOptions::dtype says, and its choices and lse are exact up to that rounding of them and of
// the queries. The int8 one keeps 8-bit codes (code_store.h): half the memory of bf16 with about
// the same error, and faster; its lse is that of the codes and so marked as estimated.
#pragma once

#include <memory>

#include "index/landmark_index.h"

namespace cairn {

/// `options` are valid.
std::unique_ptr<LandmarkIndex> MakeExactIndex(const IndexOptions& options);
std::unique_ptr<LandmarkIndex> MakeInt8Index(const IndexOptions& options);

}  // namespace cairn
