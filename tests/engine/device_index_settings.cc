// The index on a device, for the contract suite (tests/index).
#include "base/device.h"
#include "engine/device_index.h"
#include "tests/index/index_oracle.h"

namespace cairn {

std::vector<IndexSetting> ExactSettings() {
  return {{IndexKind::kExact, DType::kF32, 1},
          {IndexKind::kExact, DType::kBF16, 1},
          {IndexKind::kExact, DType::kBF16, 3}};
}

std::vector<IndexSetting> AllSettings() {
  std::vector<IndexSetting> settings = ExactSettings();
  settings.push_back({IndexKind::kInt8, DType::kBF16, 1});
  settings.push_back({IndexKind::kInt8, DType::kBF16, 3});
  return settings;
}

std::unique_ptr<LandmarkIndex> MakeIndexUnderTest(const IndexOptions& options) {
  static const std::unique_ptr<Device> device = Device::Open(0).value();
  return DeviceIndex::Make(options, *device).value();
}

}  // namespace cairn
