// What StepAttention writes into a StepLog.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/step_attention.h"

namespace cairn {

void StepAttention::LogTiers() {
  tiers_.resize(ids_.size());
  store_.Locate(ids_, tiers_);
}

Status StepAttention::LogGroups(const Call& call, int32_t first_group, int32_t groups) {
  Pins on_host;  // each block is attended alone, which is not what a device is for
  if (store_.device() != nullptr) {
    CAIRN_TRY(on_host, store_.FetchToHost(ids_));
    for (size_t i = 0; i < refs_.size(); ++i) refs_[i].payload = on_host.payloads()[i];
  }
  part_o_.resize(fetched_o_.size());
  part_lse_.resize(lse_.size());
  const bool shared = call.choice.groups == 1;
  const int32_t end = shared ? call.rows : first_group + groups;
  const size_t per_list = call.plan.fixed.size() + static_cast<size_t>(call.choice.k);
  for (int32_t row = shared ? 0 : first_group; row < end; ++row) {
    if (first_row_ + row < log_->from_row) continue;
    const int32_t group = shared ? 0 : row;
    for (int32_t head = 0; head < shape_.kv_heads; ++head) {
      const auto list = static_cast<size_t>(group - first_group) * shape_.kv_heads + head;
      LogHead(call, row, head, group, list * per_list);
    }
  }
  return Ok();
}

void StepAttention::LogHead(const Call& call, int32_t row, int32_t head, int32_t group,
                            size_t first_ref) {
  const Choice& choice = call.choice;
  const auto place = static_cast<size_t>(head) * choice.groups + group;
  HeadLog made{.row = first_row_ + row,
               .layer = call.layer,
               .head = head,
               .local_share = 1,
               .first = log_->blocks.size()};
  if (!choice.runner_up.empty()) {
    made.runner_up = choice.runner_up[place];
    made.runner_up_log_weight = choice.runner_up_log_weights[place];
  }
  const auto sinks = static_cast<size_t>(
      std::count_if(call.plan.fixed.begin(), call.plan.fixed.end(),
                    [&](const PlacedBlock& p) { return p.slot < call.plan.first_slot; }));
  const auto k = static_cast<size_t>(choice.k);
  for (size_t i = 0; i < call.plan.fixed.size() + k; ++i) {
    const bool chosen = i >= sinks && i < sinks + k;
    const size_t rank = i - sinks;
    const int64_t block = chosen      ? choice.Of(head, group)[rank]
                          : i < sinks ? call.plan.fixed[i].block
                                      : call.plan.fixed[i - k].block;
    ReadBlock read = LogBlock(call, row, head, first_ref + i, block);
    read.role = chosen ? BlockRole::kChosen : i < sinks ? BlockRole::kSink : BlockRole::kRecent;
    read.log_weight = chosen && !choice.log_weights.empty()
                          ? choice.log_weights[place * k + rank]
                          : std::numeric_limits<float>::quiet_NaN();
    made.local_share -= read.share;
    log_->blocks.push_back(read);
  }
  made.local_share = std::max(0.0f, made.local_share);
  made.count = log_->blocks.size() - made.first;
  log_->heads.push_back(made);
}

ReadBlock StepAttention::LogBlock(const Call& call, int32_t row, int32_t head, size_t ref,
                                  int64_t block) {
  ReadBlock read{.block = block, .tier = tiers_[ref]};
  AttendRows(call, head, row, 1, {&refs_[ref], 1}, shape_.block, part_o_.data(), part_lse_.data());
  const int32_t group = shape_.group();
  const int64_t at = (static_cast<int64_t>(head) * call.rows + row) * group;
  for (int32_t g = 0; g < group; ++g) {
    const float share = std::exp(part_lse_[at + g] - lse_[at + g]);
    read.share += share / static_cast<float>(group);
    read.top_share = std::max(read.top_share, share);
  }
  return read;
}

}  // namespace cairn
