// The indexes on a CPU, for the contract suite.
#include "tests/index/index_oracle.h"

namespace cairn {

std::vector<IndexSetting> ExactSettings() {
  std::vector<IndexSetting> settings;
  for (const IndexKind kind : {IndexKind::kExact, IndexKind::kFaiss}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const int32_t representatives : {1, 4}) {
        settings.push_back({kind, dtype, representatives});
      }
    }
  }
  settings.push_back({IndexKind::kExact, DType::kBF16, 3});
  return settings;
}

std::vector<IndexSetting> AllSettings() {
  std::vector<IndexSetting> settings = ExactSettings();
  for (const int32_t representatives : {1, 3, 4}) {
    settings.push_back({IndexKind::kInt8, DType::kF32, representatives});
    settings.push_back({IndexKind::kLists, DType::kF32, representatives});
  }
  return settings;
}

std::unique_ptr<LandmarkIndex> MakeIndexUnderTest(const IndexOptions& options) {
  return MakeIndex(options).value();
}

}  // namespace cairn
