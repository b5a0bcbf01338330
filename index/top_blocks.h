// TopBlocks: keeps the k heaviest of the blocks offered to it. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace cairn {

class TopBlocks {
 public:
  /// Starts over for k ≥ 1 blocks, reusing memory.
  void Reset(int32_t k) {
    k_ = static_cast<size_t>(k);
    heap_.clear();
    heap_.reserve(k_);
  }

  /// Only weights above this can enter; −inf until k blocks are kept, so Offer −inf itself then.
  float threshold() const {
    return full() ? heap_.front().weight : -std::numeric_limits<float>::infinity();
  }
  bool full() const { return heap_.size() == k_; }

  /// Blocks are offered in ascending order, so that of equal weights the lowest ordinal stays.
  void Offer(float weight, int64_t block) {
    if (full()) {
      if (!(weight > heap_.front().weight)) return;
      std::pop_heap(heap_.begin(), heap_.end(), Before);
      heap_.back() = {weight, block};
    } else {
      heap_.push_back({weight, block});
    }
    std::push_heap(heap_.begin(), heap_.end(), Before);
  }

  /// Writes what is kept, heaviest first and ties by ordinal; at most k of each.
  void Write(int64_t first, int64_t* ordinals, float* weights) {
    std::sort_heap(heap_.begin(), heap_.end(), Before);
    for (size_t i = 0; i < heap_.size(); ++i) {
      ordinals[i] = first + heap_[i].block;
      weights[i] = heap_[i].weight;
    }
  }

 private:
  struct Choice {
    float weight;
    int64_t block;
  };
  static bool Before(const Choice& a, const Choice& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.block < b.block);
  }

  size_t k_ = 0;
  std::vector<Choice> heap_;  // the worst kept on top
};

}  // namespace cairn
