// Certificates of a session's steps, and steps that go on choosing until one is good enough.
#include <algorithm>

#include "engine/session.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"

namespace cairn {
namespace {

constexpr int64_t kBlocksAtOnce = 256;

}  // namespace

Status Session::LoadBounds() {
  auto bounds = std::make_unique<KeyBounds>(shape_);
  const int32_t heads = shape_.kv_heads;
  for (int32_t layer = 0; layer < shape_.layers; ++layer) {
    for (int64_t first = 0; first < blocks_.size(); first += kBlocksAtOnce) {
      const int64_t end = std::min(blocks_.size(), first + kBlocksAtOnce);
      for (int32_t head = 0; head < heads; ++head) {
        std::vector<BlockId> ids;
        for (int64_t block = first; block < end; ++block) {
          ids.push_back(blocks_.Id(block, layer, head));
        }
        CAIRN_TRY(const Pins pins, store_.Fetch(ids));
        for (const std::byte* payload : pins.payloads()) {
          bounds->Add(layer * heads + head, payload);
        }
      }
    }
  }
  bounds_ = std::move(bounds);
  return Ok();
}

void Session::AddBounds(int32_t complete) {
  ParallelFor(shape_.partitions(), [&](int64_t partition) {
    const auto layer = static_cast<int32_t>(partition / shape_.kv_heads);
    const auto head = static_cast<int32_t>(partition % shape_.kv_heads);
    for (int32_t i = 0; i < complete; ++i) {
      bounds_->Add(static_cast<int32_t>(partition), local_.sealed(layer, head, i));
    }
  });
}

int32_t Session::MostChosen() const {
  const int64_t b = shape_.block.block_rows;
  const int64_t reach = plan_.local_slot * b + plan_.tail_rows + step_rows_;
  return plan_.choose + static_cast<int32_t>((shape_.context_rows - reach) / b);
}

bool Session::MissesTooMuch() const {
  const float most = 1 - options_.mass_target;
  return std::ranges::any_of(certifier_.missed(), [&](const MissedMass& missed) {
    return (options_.mass_by == MassBy::kBound ? missed.bound : missed.estimate) > most;
  });
}

Status Session::CertifyRead(int32_t layer, const float* q, const StepLog::Mark& before, float* o) {
  const bool aims = options_.mass_target > 0;
  const int64_t logged = mass_log_ == nullptr ? step_rows_ : mass_log_->from_row - rows_;
  const auto first_logged = static_cast<int32_t>(std::clamp<int64_t>(logged, 0, step_rows_));
  const int32_t first = aims ? 0 : first_logged;
  if (first == step_rows_) return Ok();
  StepPlan plan = plan_;
  SessionOptions options = options_;
  const auto measure = [&] {
    certifier_.Measure({plan, layer, q, step_rows_, FirstPosition(plan), choice_, attention_.lse()},
                       *bounds_, first);
  };
  measure();
  while (aims && !plan.TakesAll() && plan.choose < MostChosen() && MissesTooMuch()) {
    if (log_ != nullptr) log_->CutTo(before);
    options.retrieve = std::min(2 * std::max(plan.choose, 1), MostChosen());
    plan = PlanStep(shape_, options, rows_);
    CAIRN_TRY(ReadPast(options, plan, layer, q, o));
    measure();
  }
  if (mass_log_ == nullptr) return Ok();
  std::vector<double> unread(static_cast<size_t>(shape_.query_heads));
  for (int32_t row = first_logged; row < step_rows_; ++row) {
    if (mass_log_->audit) {
      CAIRN_TRY(
          attention_.WeighUnread(plan, layer, q, step_rows_, choice_, blocks_, row, unread.data()));
    }
    for (int32_t head = 0; head < shape_.query_heads; ++head) {
      MissedMass missed =
          certifier_.missed()[static_cast<size_t>(row - first) * shape_.query_heads + head];
      missed.row = rows_ + row;
      const int32_t group = shape_.group();
      const int64_t place =
          (static_cast<int64_t>(head / group) * step_rows_ + row) * group + head % group;
      if (mass_log_->audit) missed.truth = ShareOf(unread[head], attention_.lse()[place]);
      mass_log_->heads.push_back(missed);
    }
  }
  return Ok();
}

}  // namespace cairn
