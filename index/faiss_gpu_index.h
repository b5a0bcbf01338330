// The FAISS index on a GPU: vectors lie there as rows of all KV heads of a layer, and one call to
// FAISS searches all heads (faiss_gpu_rows.h). The host keeps the vectors too, as the exact index
// does: what FAISS finds is scored again by them, so that equal blocks tie exactly and rounding on
// the device changes no choice. Where that is not certain, as among many equal blocks, the host
// scores all blocks of the row.
#pragma once

#include <memory>

#include "base/device.h"
#include "index/landmark_index.h"

namespace cairn {

/// `options` are valid, but for the kind; each `heads` consecutive partitions are those of a layer.
/// `device` must outlive the index. kUnsupported, with the remedy, where FAISS for GPUs is not
/// built in or not usable; adding bf16 numbers that f16 does not hold (above 65504) is kUnsupported
/// too.
Result<std::unique_ptr<LandmarkIndex>> MakeFaissGpuIndex(const IndexOptions& options, int32_t heads,
                                                         Device& device);

}  // namespace cairn
