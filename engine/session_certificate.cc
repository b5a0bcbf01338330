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
  for (int32_t layer = 0; layer < shape_.layers; ++layer) CAIRN_TRY(LoadBounds(layer, *bounds));
  bounds_ = std::move(bounds);
  return Ok();
}

Status Session::LoadBounds(int32_t layer, KeyBounds& bounds) {
  const size_t bytes = KeyBoundBytes(shape_) * static_cast<size_t>(shape_.kv_heads);
  CAIRN_TRY(const auto sections, catalog_.ReadSections(record_, KeyBoundType(shape_.mode),
                                                       static_cast<uint16_t>(layer)));
  std::vector<const std::byte*> stored(static_cast<size_t>(blocks_.size()));
  for (const SummarySection& section : sections) {
    if (section.bytes.size() != section.count * bytes) {
      return Fail(Errc::kCorruption, "session '{}': key bounds of layer {} have {} bytes, not {}",
                  record_.name, layer, section.bytes.size(), section.count * bytes);
    }
    const int64_t at = blocks_.Find(section.extent, section.first);
    for (int64_t i = 0; at >= 0 && i < section.count; ++i) {
      stored[at + i] = reinterpret_cast<const std::byte*>(section.bytes.data()) + i * bytes;
    }
  }
  for (int64_t block = 0; block < blocks_.size();) {
    if (stored[block] == nullptr) {
      int64_t end = block + 1;
      while (end < std::min(blocks_.size(), block + kBlocksAtOnce) && stored[end] == nullptr) ++end;
      CAIRN_TRY(ReadBounds(layer, block, end, bounds));
      block = end;
      continue;
    }
    for (int32_t head = 0; head < shape_.kv_heads; ++head) {
      bounds.Add(layer * shape_.kv_heads + head, stored[block] + head * KeyBoundBytes(shape_));
    }
    ++block;
  }
  return Ok();
}

Status Session::ReadBounds(int32_t layer, int64_t first, int64_t end, KeyBounds& bounds) {
  std::vector<std::byte> part(KeyBoundBytes(shape_));
  for (int32_t head = 0; head < shape_.kv_heads; ++head) {
    std::vector<BlockId> ids;
    for (int64_t block = first; block < end; ++block) ids.push_back(blocks_.Id(block, layer, head));
    CAIRN_TRY(const Pins pins, store_.FetchToHost(ids));
    for (const std::byte* payload : pins.payloads()) {
      WriteKeyBound(shape_, payload, part.data());
      bounds.Add(layer * shape_.kv_heads + head, part.data());
    }
  }
  return Ok();
}

void Session::AddBounds(int32_t complete) {
  const size_t bytes = KeyBoundBytes(shape_);
  std::vector<std::string> packed(static_cast<size_t>(shape_.layers),
                                  std::string(bytes * shape_.kv_heads * complete, '\0'));
  ParallelFor(shape_.layers, [&](int64_t layer) {
    auto* target = reinterpret_cast<std::byte*>(packed[layer].data());
    for (int32_t i = 0; i < complete; ++i) {
      for (int32_t head = 0; head < shape_.kv_heads; ++head, target += bytes) {
        const std::byte* payload = local_.sealed(static_cast<int32_t>(layer), head, i);
        const int32_t partition = static_cast<int32_t>(layer) * shape_.kv_heads + head;
        WriteKeyBound(shape_, payload, target);
        if (bounds_ != nullptr) bounds_->Add(partition, target);
      }
    }
  });
  for (int32_t layer = 0; keeps_sketches() && layer < shape_.layers; ++layer) {
    Extend(new_sections_[shape_.layers + layer], KeyBoundType(shape_.mode), layer, complete,
           packed[layer]);
  }
}

int32_t Session::Room() const {
  const int64_t b = shape_.block.block_rows;
  const int64_t reach = plan_.local_slot * b + plan_.tail_rows + step_rows_;
  return plan_.choose + static_cast<int32_t>((shape_.context_rows - reach) / b);
}

int32_t Session::FirstLogged() const {
  const int64_t logged = mass_log_ == nullptr ? step_rows_ : mass_log_->from_row - rows_;
  return static_cast<int32_t>(std::clamp<int64_t>(logged, 0, step_rows_));
}

int32_t Session::FirstMeasured() const { return options_.mass_target > 0 ? 0 : FirstLogged(); }

bool Session::MissesTooMuch() const {
  const float most = 1 - options_.mass_target;
  return std::ranges::any_of(certifier_.missed(), [&](const MissedMass& missed) {
    return (options_.mass_by == MassBy::kBound ? missed.bound : missed.estimate) > most;
  });
}

Status Session::CertifyRead(int32_t layer, const float* q, const StepLog::Mark& before, float* o) {
  const bool aims = options_.mass_target > 0;
  const int32_t first_logged = FirstLogged(), first = FirstMeasured();
  if (first == step_rows_) return Ok();
  StepPlan plan = plan_;
  SessionOptions options = options_;
  const auto read = [&] {
    return LayerRead{plan, layer, q, step_rows_, FirstPosition(plan), choice_, attention_.lse()};
  };
  certifier_.Measure(read(), *bounds_, first);
  const int32_t most = std::max(options.retrieve, SessionOptions::kMostAimed);
  while (aims && !plan.TakesAll() && plan.choose < most && MissesTooMuch()) {
    if (log_ != nullptr) log_->CutTo(before);
    options.retrieve = std::min(2 * std::max(plan.choose, 1), most);
    plan = PlanStep(shape_, options, rows_, Room());
    CAIRN_TRY(ReadPast(options, plan, layer, q, o));
    certifier_.Measure(read(), *bounds_, first);
  }
  return mass_log_ == nullptr ? Ok() : LogMissed(plan, layer, q, first, first_logged);
}

Status Session::LogMissed(const StepPlan& plan, int32_t layer, const float* q, int32_t first,
                          int32_t first_logged) {
  const int32_t group = shape_.group();
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
      const int64_t place =
          (static_cast<int64_t>(head / group) * step_rows_ + row) * group + head % group;
      if (mass_log_->audit) missed.truth = ShareOf(unread[head], attention_.lse()[place]);
      mass_log_->heads.push_back(missed);
    }
  }
  return Ok();
}

}  // namespace cairn
