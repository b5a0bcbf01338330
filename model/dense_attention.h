// DenseAttention: attention over every past row at its true position, kept in memory: what
// retrieval approximates. Cost per row grows with the length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/options.h"
#include "model/attention_backend.h"

namespace cairn {

class DenseAttention : public AttentionBackend {
 public:
  /// Landmark mode: the dense grouped softmax over all gates. The shape's context_rows is no limit.
  explicit DenseAttention(const SessionShape& shape);

  Status BeginStep(int32_t rows) override;
  Status Attend(int32_t layer, const float* q, const float* k, const float* v, float* o) override;
  Status EndStep() override;
  void AbortStep() override { step_rows_ = 0; }
  int64_t rows() const override { return rows_; }

 private:
  using Payload = std::vector<std::byte>;

  SessionShape shape_;
  RopeTable rope_;
  std::vector<std::vector<Payload>> blocks_;  // [L·Hkv][blocks]
  int64_t rows_ = 0;
  int32_t step_rows_ = 0;
};

}  // namespace cairn
