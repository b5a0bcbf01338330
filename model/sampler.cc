#include "model/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace cairn {

uint32_t Sampler::Pick(std::span<const float> logits) {
  CAIRN_CHECK(!logits.empty());
  const auto highest = std::max_element(logits.begin(), logits.end());
  const auto best = static_cast<uint32_t>(highest - logits.begin());
  if (greedy()) return best;
  double total = 0;
  for (const float logit : logits) total += std::exp((logit - *highest) / temperature_);
  // 53 random bits as a number in [0, 1): the same on every standard library.
  double left = static_cast<double>(random_() >> 11) * 0x1.0p-53 * total;
  for (size_t i = 0; i < logits.size(); ++i) {
    left -= std::exp((logits[i] - *highest) / temperature_);
    if (left < 0) return static_cast<uint32_t>(i);
  }
  return best;
}

}  // namespace cairn
