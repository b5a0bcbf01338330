#include "tests/support/cuda_on_cpu/async_copies.h"

#include <algorithm>

namespace cairn::cuda_on_cpu {

void AsyncCopies::Add(std::byte* target, const std::byte* source, size_t bytes) {
  std::fill_n(target, kBytes, std::byte{0xff});
  groups_.back().push_back({target, source, bytes});
}

void AsyncCopies::Commit() { groups_.emplace_back(); }

void AsyncCopies::Wait(size_t left) {
  while (groups_.size() > left + 1) {
    for (const Copy& copy : groups_.front()) {
      std::copy_n(copy.source, copy.bytes, copy.target);
      std::fill(copy.target + copy.bytes, copy.target + kBytes, std::byte{0});
    }
    groups_.erase(groups_.begin());
  }
}

bool AsyncCopies::UnderWay() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const auto& group) { return !group.empty(); });
}

}  // namespace cairn::cuda_on_cpu
