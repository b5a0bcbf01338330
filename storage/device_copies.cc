#include "storage/device_copies.h"

#include <utility>

namespace cairn {

Result<std::unique_ptr<DeviceCopies>> DeviceCopies::Open(Device& device) {
  std::unique_ptr<DeviceCopies> copies(new DeviceCopies(device));
  CAIRN_TRY(copies->stream_, device.MakeStream());
  CAIRN_TRY(copies->last_, device.MakeEvent());
  return copies;
}

Status DeviceCopies::Start(std::span<std::byte* const> targets,
                           std::span<const std::byte* const> sources, size_t bytes,
                           std::vector<uint32_t> held) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(device_.Use());  // fetches come from threads of all kinds
  if (unused_.empty()) {
    CAIRN_TRY(auto event, device_.MakeEvent());
    unused_.push_back(std::move(event));
  }
  CAIRN_TRY(stream_.CopyBatchToDevice(targets, sources, bytes));
  CAIRN_TRY(stream_.Record(unused_.back()));
  CAIRN_TRY(stream_.Record(last_));
  copies_.push_back({std::move(unused_.back()), std::move(held)});
  unused_.pop_back();
  return Ok();
}

void DeviceCopies::Take(std::vector<uint32_t>* slots) {
  Copy& first = copies_.front();
  slots->insert(slots->end(), first.held.begin(), first.held.end());
  unused_.push_back(std::move(first.passed));
  copies_.pop_front();
}

Result<std::vector<uint32_t>> DeviceCopies::Passed() {
  const std::lock_guard lock(mutex_);
  std::vector<uint32_t> slots;
  while (!copies_.empty()) {
    const Result<bool> passed = copies_.front().passed.Passed();
    if (!passed && slots.empty()) return passed.as_failure();  // else what has passed goes first
    if (!passed || !passed.value()) break;
    Take(&slots);
  }
  return slots;
}

Result<std::vector<uint32_t>> DeviceCopies::Finish() {
  const std::lock_guard lock(mutex_);
  std::vector<uint32_t> slots;
  if (!copies_.empty()) {
    CAIRN_TRY(last_.Wait());
  }
  while (!copies_.empty()) Take(&slots);
  return slots;
}

Status DeviceCopies::OrderAfter(DeviceStream& stream) {
  const std::lock_guard lock(mutex_);
  return stream.WaitFor(last_);
}

}  // namespace cairn
