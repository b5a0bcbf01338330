#include "tests/support/cuda_on_cpu/async_copies.h"

#include <algorithm>

#include "tests/support/cuda_on_cpu/fiber_switch.h"

namespace cairn::cuda_on_cpu {

// What a copy reads and writes may happen when it is asked for, or at the end of waiting.
void AsyncCopies::Add(std::byte* target, const std::byte* source, size_t bytes) {
  SeeRead(source, bytes);
  SeeWrite(target, kBytes);
  const Unseen unseen;
  std::fill_n(target, kBytes, std::byte{0xff});
  groups_.back().push_back({target, source, bytes});
}

void AsyncCopies::Commit() {
  const Unseen unseen;
  groups_.emplace_back();
}

void AsyncCopies::Wait(size_t left) {
  Copy copy{};
  while (CarryOut(left, &copy)) {
    SeeRead(copy.source, copy.bytes);
    SeeWrite(copy.target, kBytes);
  }
}

bool AsyncCopies::CarryOut(size_t left, Copy* copy) {
  const Unseen unseen;
  while (groups_.size() > left + 1 && groups_.front().empty()) groups_.pop_front();
  if (groups_.size() <= left + 1) return false;
  *copy = groups_.front().front();
  groups_.front().pop_front();
  std::copy_n(copy->source, copy->bytes, copy->target);
  std::fill(copy->target + copy->bytes, copy->target + kBytes, std::byte{0});
  return true;
}

bool AsyncCopies::UnderWay() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const auto& group) { return !group.empty(); });
}

void AsyncCopies::Forget() {
  groups_.clear();
  groups_.emplace_back();
}

}  // namespace cairn::cuda_on_cpu
