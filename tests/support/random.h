// Seeded random numbers for tests. The seed is printed, and CAIRN_TEST_SEED replays a run.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace cairn {

/// The seed of this run: CAIRN_TEST_SEED if set, a fixed one otherwise. Printed on first use.
inline uint64_t TestSeed() {
  static const uint64_t seed = [] {
    const char* text = std::getenv("CAIRN_TEST_SEED");
    const uint64_t value = text == nullptr ? 20231117 : std::strtoull(text, nullptr, 10);
    std::printf("CAIRN_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return seed;
}

/// One stream of numbers. Streams with different `stream` are independent of each other.
class TestRandom {
 public:
  explicit TestRandom(uint64_t stream = 0) : engine_(TestSeed() + 0x9e3779b97f4a7c15u * stream) {}

  /// Uniform in [low, high].
  int64_t Int(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  float Normal() { return normal_(engine_); }
  float Uniform() { return std::uniform_real_distribution<float>(0.0f, 1.0f)(engine_); }
  std::vector<float> Normals(size_t count, float scale = 1.0f) {
    std::vector<float> numbers(count);
    for (float& x : numbers) x = scale * Normal();
    return numbers;
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<float> normal_;
};

}  // namespace cairn
