// The FAISS index: one flat inner-product index per partition, searched by FAISS on the CPU.
#pragma once

#include <memory>
#include <string>

#include "index/landmark_index.h"

namespace cairn {

/// `options` are valid. kResource if FAISS refuses.
Result<std::unique_ptr<LandmarkIndex>> MakeFaissCpuIndex(const IndexOptions& options);

/// E.g. "1.7.3", of the headers: the library does not say.
std::string FaissVersion();

}  // namespace cairn
