// Draw: random choices that are the same on every machine for the same seed text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace cairn {

class Draw {
 public:
  explicit Draw(std::string_view seed) : generator_(Hash64(seed.data(), seed.size())) {}

  /// In [0, 1).
  double Unit() { return static_cast<double>(generator_() >> 11) * 0x1.0p-53; }
  /// In [0, count); `count` is positive.
  int64_t Below(int64_t count) {
    return std::min(static_cast<int64_t>(Unit() * static_cast<double>(count)), count - 1);
  }
  /// A number of that many digits, which may begin with 0.
  std::string Digits(int64_t count) {
    std::string digits;
    while (std::ssize(digits) < count) digits += static_cast<char>('0' + Below(10));
    return digits;
  }
  template <class T>
  void Shuffle(std::vector<T>* items) {
    for (int64_t i = std::ssize(*items) - 1; i > 0; --i) {
      std::swap((*items)[static_cast<size_t>(i)], (*items)[static_cast<size_t>(Below(i + 1))]);
    }
  }

 private:
  std::mt19937_64 generator_;
};

}  // namespace cairn
