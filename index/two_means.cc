#include "index/two_means.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "base/dtype.h"
#include "index/score_kernels.h"

namespace cairn {
namespace {

constexpr int kRounds = 3;
constexpr size_t kSample = 512;  // of many vectors so many show where they part

// Sums of the vectors [n, dim] of either side, and their numbers.
struct Halves {
  std::vector<double> sums[2];
  int64_t counts[2] = {0, 0};

  Halves(const std::vector<float>& vectors, const std::vector<uint8_t>& side, int32_t dim)
      : sums{std::vector<double>(static_cast<size_t>(dim)),
             std::vector<double>(static_cast<size_t>(dim))} {
    for (size_t v = 0; v < side.size(); ++v) {
      ++counts[side[v]];
      double* sum = sums[side[v]].data();
      const float* vector = vectors.data() + v * static_cast<size_t>(dim);
      for (int32_t d = 0; d < dim; ++d) sum[d] += vector[d];
    }
  }
  std::vector<float> Mean(int which) const {
    std::vector<float> mean;
    for (const double sum : sums[which]) {
      mean.push_back(static_cast<float>(sum / static_cast<double>(counts[which])));
    }
    return mean;
  }
};

// The vector of [n, dim] that is farthest from `from`.
std::vector<float> Farthest(const std::vector<float>& vectors, const std::vector<float>& from) {
  const auto dim = static_cast<int32_t>(from.size());
  const float* best = vectors.data();
  double most = -1;
  for (size_t at = 0; at < vectors.size(); at += from.size()) {
    const double distance = SquaredDistance(vectors.data() + at, from.data(), dim);
    if (distance > most) {
      most = distance;
      best = vectors.data() + at;
    }
  }
  return {best, best + dim};
}

// Vectors at even distances.
std::vector<float> Sample(const std::vector<float>& vectors, int32_t dim) {
  const size_t stride = vectors.size() / static_cast<size_t>(dim) / kSample;
  std::vector<float> sample;
  for (size_t v = 0; v < kSample; ++v) {
    const auto from = vectors.begin() + static_cast<std::ptrdiff_t>(v * stride) * dim;
    sample.insert(sample.end(), from, from + dim);
  }
  return sample;
}

// 1 for the vectors that are nearer to b than to a.
std::vector<uint8_t> Sides(const std::vector<float>& vectors, const std::vector<float>& a,
                           const std::vector<float>& b) {
  const size_t n = vectors.size() / a.size();
  std::vector<float> scores(n + 3);
  std::vector<float> across(a.size());
  float middle = 0;
  for (size_t d = 0; d < a.size(); ++d) {
    across[d] = b[d] - a[d];
    middle += 0.5f * (a[d] + b[d]) * across[d];
  }
  ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(vectors.data()),
             static_cast<int64_t>(n), static_cast<int32_t>(a.size()), across.data(), 1,
             scores.data(), static_cast<int64_t>(n) + 3);
  std::vector<uint8_t> side(n);
  for (size_t v = 0; v < n; ++v) side[v] = scores[v] > middle ? 1 : 0;
  return side;
}

}  // namespace

// In 16 sums side by side; in double, as squares of what f32 holds may be beyond it.
double SquaredDistance(const float* a, const float* b, int32_t dim) {
  constexpr int32_t kSums = 16;
  double sums[kSums] = {};
  int32_t d = 0;
  for (; d + kSums <= dim; d += kSums) {
    for (int32_t i = 0; i < kSums; ++i) {
      const double difference = double{a[d + i]} - double{b[d + i]};
      sums[i] += difference * difference;
    }
  }
  for (; d < dim; ++d) {
    const double difference = double{a[d]} - double{b[d]};
    sums[d % kSums] += difference * difference;
  }
  return std::accumulate(sums, sums + kSums, 0.0);
}

Parting TwoMeans(const std::vector<float>& vectors, int32_t dim) {
  const size_t n = vectors.size() / static_cast<size_t>(dim);
  std::vector<uint8_t> side(n);
  if (n >= 2 * kSample) {
    const Parting sampled = TwoMeans(Sample(vectors, dim), dim);
    side = Sides(vectors, sampled.means[0], sampled.means[1]);
  } else {
    std::vector<float> a = Farthest(vectors, Halves(vectors, side, dim).Mean(0));
    std::vector<float> b = Farthest(vectors, a);
    for (int round = 0; round < kRounds; ++round) {
      std::vector<uint8_t> now = Sides(vectors, a, b);
      const Halves halves(vectors, now, dim);
      if (halves.counts[0] == 0 || halves.counts[1] == 0 || now == side) break;
      side = std::move(now);
      a = halves.Mean(0);
      b = halves.Mean(1);
    }
  }
  const auto ones = static_cast<size_t>(std::count(side.begin(), side.end(), 1));
  if (ones == 0 || ones == n) {  // not told apart: parted in the middle
    for (size_t v = 0; v < n; ++v) side[v] = v < n / 2 ? 0 : 1;
  }
  const Halves halves(vectors, side, dim);
  return {std::move(side), {halves.Mean(0), halves.Mean(1)}};
}

}  // namespace cairn
