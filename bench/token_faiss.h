// FAISS's search on a GPU for what a decoded token asks of the landmarks of a long past, beside
// TokenScan.
#pragma once

#include <optional>
#include <string>

#include "base/device.h"
#include "base/error.h"
#include "bench/device_rig.h"
#include "bench/device_shape.h"

namespace cairn {

/// Medians, of a token through all layers, by the device's clock.
struct FaissTimes {
  /// As the FAISS index has it: for each layer one call for all KV heads, with a copy there, one
  /// back and a wait, finding as many vectors as it asks for; what the host then does is not in it.
  std::optional<double> search_seconds;
  /// A call for each layer and KV head over its vectors alone, finding `retrieve` for each query
  /// head; nothing is copied, and nothing waited for before the end.
  std::optional<double> flat_seconds;
  std::string problem;  ///< why there are none; else ""
};

/// Of `landmarks`, [layers, KV heads, blocks, D] of 16 bits on the device, taken as f16; the index
/// has those of a layer as [blocks, KV heads, D], which makes no difference to the time. What this
/// build or machine has not, or what does not fit, is a `problem` and no error; kInterrupted is
/// one. FAISS ends the process where CUDA fails under it.
Result<FaissTimes> TimeFaiss(DeviceRig& rig, const DeviceShape& shape, const std::byte* landmarks);

}  // namespace cairn
