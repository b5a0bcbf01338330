#include "bench/ladder_point.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/process_usage.h"

namespace cairn {
namespace {

constexpr double kLeastProbability = 0.93;
constexpr double kPicosecondsPerNs = 1000;

/// Probability that the median lies between the values of rank `skip` from both ends.
double Probability(int count, int skip) {
  double outside = 0, ways = 1;  // ways to choose i of count
  for (int i = 0; i <= skip; ++i) {
    outside += ways;
    ways = ways * (count - i) / (i + 1);
  }
  return 1 - 2 * outside * std::pow(0.5, count);
}

int Skipped(int count) {
  int skip = 0;
  while (2 * (skip + 1) < count && Probability(count, skip + 1) >= kLeastProbability) ++skip;
  return skip;
}

std::optional<Estimate> Quantiles(const std::vector<LadderTurn>& turns,
                                  FineHistogram LadderTurn::*histogram, double q) {
  const auto enough = [q](uint64_t count) {
    return count > 0 && static_cast<double>(count) * (1 - q) >= 1 - 1e-9;
  };
  std::vector<double> values;
  FineHistogram all;
  bool each = true;
  for (const LadderTurn& turn : turns) {
    const FineHistogram& latency = turn.*histogram;
    values.push_back(static_cast<double>(latency.Percentile(q)) / kPicosecondsPerNs);
    each = each && enough(latency.count());
    all.Merge(latency);
  }
  if (each && !values.empty()) return MedianOf(std::move(values));
  if (!enough(all.count())) return std::nullopt;
  return Estimate{.median = static_cast<double>(all.Percentile(q)) / kPicosecondsPerNs};
}

std::optional<uint64_t> Sum(const std::vector<LadderTurn>& turns,
                            std::optional<uint64_t> LadderTurn::*bytes) {
  uint64_t sum = 0;
  for (const LadderTurn& turn : turns) {
    if (!(turn.*bytes).has_value()) return std::nullopt;
    sum += *(turn.*bytes);
  }
  return sum;
}

}  // namespace

std::string LadderKey::Name() const {
  return fmt::format("{}/{}/{}/{}/{}/{}/{}", tier, step, block_bytes, batch, readers, variant,
                     load_percent ? std::to_string(*load_percent) : "");
}

Estimate MedianOf(std::vector<double> values) {
  Estimate estimate{.median = Median(values)};
  const int count = static_cast<int>(values.size());
  if (count == 0 || Probability(count, 0) < kLeastProbability) return estimate;
  std::ranges::sort(values);
  const auto skip = static_cast<size_t>(Skipped(count));
  estimate.interval = {values[skip], values[values.size() - 1 - skip]};
  return estimate;
}

double IntervalProbability(int count) {
  const double widest = count > 0 ? Probability(count, 0) : 0;
  return widest < kLeastProbability ? 0 : Probability(count, Skipped(count));
}

std::optional<Estimate> LadderPoint::Latency(double q) const {
  if (together > 1 && q > 0.5) return std::nullopt;
  return Quantiles(turns, &LadderTurn::latency_ps, q);
}

std::optional<Estimate> LadderPoint::Service(double q) const {
  return Quantiles(turns, &LadderTurn::service_ps, q);
}

std::optional<double> LadderPoint::MaxNs() const {
  if (together > 1) return std::nullopt;
  return static_cast<double>(All().max()) / kPicosecondsPerNs;
}

Estimate LadderPoint::OperationsPerSecond() const {
  std::vector<double> rates;
  for (const LadderTurn& turn : turns) {
    rates.push_back(static_cast<double>(turn.operations) / std::max(turn.seconds, 1e-9));
  }
  return MedianOf(std::move(rates));
}

std::optional<Estimate> LadderPoint::BytesPerSecond() const {
  if (payload_bytes() == 0) return std::nullopt;
  std::vector<double> rates;
  for (const LadderTurn& turn : turns) {
    rates.push_back(static_cast<double>(turn.payload_bytes) / std::max(turn.seconds, 1e-9));
  }
  return MedianOf(std::move(rates));
}

uint64_t LadderPoint::payload_bytes() const {
  uint64_t sum = 0;
  for (const LadderTurn& turn : turns) sum += turn.payload_bytes;
  return sum;
}

std::vector<double> LadderPoint::ServedPercent() const {
  std::vector<double> served;
  double all = 0;
  for (const LadderTurn& turn : turns) {
    served.resize(std::max(served.size(), turn.served_blocks.size()));
    for (size_t i = 0; i < turn.served_blocks.size(); ++i) {
      served[i] += static_cast<double>(turn.served_blocks[i]);
      all += static_cast<double>(turn.served_blocks[i]);
    }
  }
  if (all == 0) return {};
  for (double& share : served) share *= 100 / all;
  return served;
}

Estimate LadderPoint::CpuNs() const {
  std::vector<double> times;
  for (const LadderTurn& turn : turns) {
    const auto operations = static_cast<double>(std::max<uint64_t>(turn.operations, 1));
    times.push_back(turn.cpu_seconds * 1e9 / operations);
  }
  return MedianOf(std::move(times));
}

uint64_t LadderPoint::operations() const {
  uint64_t sum = 0;
  for (const LadderTurn& turn : turns) sum += turn.operations;
  return sum;
}

std::optional<uint64_t> LadderPoint::process_read_bytes() const {
  return Sum(turns, &LadderTurn::process_read_bytes);
}

std::optional<uint64_t> LadderPoint::device_read_bytes() const {
  return Sum(turns, &LadderTurn::device_read_bytes);
}

FineHistogram LadderPoint::All() const {
  FineHistogram all;
  for (const LadderTurn& turn : turns) all.Merge(turn.latency_ps);
  return all;
}

}  // namespace cairn
