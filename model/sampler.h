// Sampler: picks the next token from logits: the most likely one, or a seeded draw.
#pragma once

#include <cstdint>
#include <random>
#include <span>

namespace cairn {

class Sampler {
 public:
  /// temperature 0: greedy. The same seed and logits give the same tokens.
  explicit Sampler(float temperature = 0, uint64_t seed = 0)
      : temperature_(temperature), random_(seed) {}

  bool greedy() const { return temperature_ <= 0; }
  /// Ties go to the lowest id. `logits` is not empty.
  uint32_t Pick(std::span<const float> logits);

 private:
  float temperature_;
  std::mt19937_64 random_;
};

}  // namespace cairn
