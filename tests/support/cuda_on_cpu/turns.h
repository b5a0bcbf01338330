// Which thread of a block goes on next, drawn from a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn::cuda_on_cpu {

class Order {
 public:
  explicit Order(uint64_t seed) : state_(seed) {}
  size_t Below(size_t count) { return static_cast<size_t>(Next() % count); }

 private:
  uint64_t Next() {  // SplitMix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

/// Threads that can go on, by warp.
class Turns {
 public:
  explicit Turns(uint64_t seed) : order_(seed) {}

  size_t Below(size_t count) { return order_.Below(count); }

  void BeginBlock(size_t warps) {
    runnable_.assign(warps, {});
    for (auto& threads : runnable_) threads.reserve(kWarpThreads);
    runnable_threads_ = 0;
    warps_.resize(warps);
    std::iota(warps_.begin(), warps_.end(), size_t{0});
    DrawOrder();
  }

  void Add(size_t number) {
    runnable_[number / kWarpThreads].push_back(number);
    ++runnable_threads_;
  }

  bool None() const { return runnable_threads_ == 0; }

  /// Draws how threads run from here to the next barrier: any of them, or those of one warp as long
  /// as they can, then those of the next. The second makes warps run as far apart as they can.
  void DrawOrder() {
    one_by_one_ = order_.Below(2) == 0;
    for (size_t i = warps_.size(); i > 1; --i) std::swap(warps_[i - 1], warps_[order_.Below(i)]);
  }

  size_t TakeNext() {
    size_t warp = 0;
    if (one_by_one_) {
      while (runnable_[warps_[warp]].empty()) ++warp;
      warp = warps_[warp];
    } else {
      size_t i = order_.Below(runnable_threads_);
      while (i >= runnable_[warp].size()) i -= runnable_[warp++].size();
    }
    std::vector<size_t>& threads = runnable_[warp];
    std::swap(threads[order_.Below(threads.size())], threads.back());
    const size_t next = threads.back();
    threads.pop_back();
    --runnable_threads_;
    return next;
  }

 private:
  Order order_;
  std::vector<std::vector<size_t>> runnable_;  // threads of each warp that can go on
  size_t runnable_threads_ = 0;
  bool one_by_one_ = false;
  std::vector<size_t> warps_;  // in the order in which they run, if one by one
};

}  // namespace cairn::cuda_on_cpu
