// The FAISS index on a device, for the contract suite (tests/index).
#include "base/device.h"
#include "index/faiss_gpu_index.h"
#include "tests/index/index_oracle.h"

namespace cairn {

std::vector<IndexSetting> ExactSettings() {
  std::vector<IndexSetting> settings;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int32_t representatives : {1, 3}) {
      settings.push_back({IndexKind::kFaiss, dtype, representatives});
    }
  }
  return settings;
}

std::vector<IndexSetting> AllSettings() { return ExactSettings(); }

// All partitions are heads of one layer; layers are in faiss_gpu_index_test.cc.
std::unique_ptr<LandmarkIndex> MakeIndexUnderTest(const IndexOptions& options) {
  static const std::unique_ptr<Device> device = Device::Open(0).value();
  return MakeFaissGpuIndex(options, options.partitions, *device).value();
}

}  // namespace cairn
