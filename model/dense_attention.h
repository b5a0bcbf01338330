// DenseAttention: attention over every past row at its true position, kept in memory: what
// retrieval approximates. Cost per row grows with the length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/options.h"
#include "engine/step_log.h"
#include "kernels/attention.h"
#include "model/attention_backend.h"

namespace cairn {

class DenseAttention : public AttentionBackend {
 public:
  /// Landmark mode: the dense grouped softmax over all gates. The shape's context_rows is no limit.
  /// Of kQ8 it keeps the rows as they are before a block is turned into codes.
  explicit DenseAttention(const SessionShape& shape);

  Status BeginStep(int32_t rows) override;
  Status Attend(int32_t layer, const float* q, const float* k, const float* v, float* o) override;
  Status EndStep() override;
  void AbortStep() override { step_rows_ = 0; }
  int64_t rows() const override { return rows_; }

  /// From now on Attend adds to `log` how much rows attend of each block before their own (null:
  /// stop); all have the role kChosen, no weight, and are in memory.
  void Observe(StepLog* log) { log_ = log; }

 private:
  using Payload = std::vector<std::byte>;

  /// What all calls of the kernel share.
  AttendParams Params() const;
  /// Shares of row `row` of the step in one head; `q` is the head's of that row, `lse` [G] its own.
  void LogRow(int32_t layer, int32_t head, int32_t row, const float* q, const float* lse,
              std::span<const BlockRef> refs);

  SessionShape shape_;
  RopeTable rope_;
  std::vector<std::vector<Payload>> blocks_;  // [L·Hkv][blocks]
  int64_t rows_ = 0;
  int32_t step_rows_ = 0;
  StepLog* log_ = nullptr;
};

}  // namespace cairn
