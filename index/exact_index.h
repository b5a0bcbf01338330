// The exact index: scores every block of the range, so its choices and its lse are exact up to
// the rounding of representatives and queries to IndexOptions::dtype.
#pragma once

#include <memory>

#include "index/landmark_index.h"

namespace cairn {

/// `options` are valid.
std::unique_ptr<LandmarkIndex> MakeExactIndex(const IndexOptions& options);

}  // namespace cairn
