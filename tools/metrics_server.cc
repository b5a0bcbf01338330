#include "tools/metrics_server.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <tuple>
#include <utility>
#include <vector>

namespace cairn {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Upper bounds of a histogram's buckets: 2^10 ns (1 µs) to 2^34 ns (17 s).
constexpr int kFirstPower = 10;
constexpr int kLastPower = 34;
constexpr int kConnections = 4;  // answered at once

double Seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

/// A metric of one or several kinds, told apart by the value of one label.
class Family {
 public:
  Family(MetricType type, const char* name, const char* help, const char* label = nullptr)
      : label_(label) {
    family_.type = type;
    family_.name = name;
    family_.help = help;
  }

  void Add(double value, const char* kind = nullptr) {
    ClientMetric& metric = Next(kind);
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  }
  void Add(uint64_t value, const char* kind = nullptr) { Add(static_cast<double>(value), kind); }
  void Add(const LatencyHistogram& latency, const char* kind = nullptr) {
    ClientMetric::Histogram& made = Next(kind).histogram;
    made.sample_count = latency.count();
    made.sample_sum = Seconds(latency.sum());
    for (int power = kFirstPower; power <= kLastPower; ++power) {
      made.bucket.push_back({latency.CountBelow(power), Seconds(uint64_t{1} << power)});
    }
    made.bucket.push_back({latency.count(), std::numeric_limits<double>::infinity()});
  }

  MetricFamily Take() { return std::move(family_); }

 private:
  ClientMetric& Next(const char* kind) {
    ClientMetric& metric = family_.metric.emplace_back();
    if (kind != nullptr) metric.label.push_back({label_, kind});
    return metric;
  }

  const char* label_;
  MetricFamily family_;
};

void AddTiers(const MetricsSample& sample, std::vector<MetricFamily>& families) {
  constexpr auto kCounter = MetricType::Counter, kGauge = MetricType::Gauge;
  Family fetched(kCounter, "cairn_fetched_blocks_total",
                 "Look-ups of blocks that reached this tier.", "tier");
  Family hits(kCounter, "cairn_hit_blocks_total", "Of them, those found there.", "tier");
  Family ratio(kGauge, "cairn_hit_ratio", "Hits over look-ups since the start.", "tier");
  Family bytes(kCounter, "cairn_tier_bytes_total", "Payload copied or read into the tier.", "tier");
  Family held(kGauge, "cairn_tier_held_bytes", "Payload that the tier holds.", "tier");
  Family capacity(kGauge, "cairn_tier_capacity_bytes", "Payload that it can hold.", "tier");
  Family latency(MetricType::Histogram, "cairn_fetch_seconds",
                 "Time of one batch of blocks that this tier served.", "tier");
  uint64_t ahead = 0, failures = 0;
  for (const TierReport& tier : sample.tiers) {
    fetched.Add(tier.fetched_blocks, tier.name);
    hits.Add(tier.hit_blocks, tier.name);
    if (tier.fetched_blocks > 0) {
      ratio.Add(static_cast<double>(tier.hit_blocks) / static_cast<double>(tier.fetched_blocks),
                tier.name);
    }
    bytes.Add(tier.bytes_in, tier.name);
    held.Add(tier.held_bytes, tier.name);
    if (tier.capacity_bytes > 0) capacity.Add(tier.capacity_bytes, tier.name);
    latency.Add(tier.latency_ns, tier.name);
    ahead += tier.ahead_blocks;
    failures += tier.verify_failures;
  }
  for (Family* family : {&fetched, &hits, &ratio, &bytes, &held, &capacity, &latency}) {
    families.push_back(family->Take());
  }
  Family read_ahead(kCounter, "cairn_ahead_blocks_total", "Blocks that were read ahead of need.");
  read_ahead.Add(ahead);
  families.push_back(read_ahead.Take());
  Family failed(kCounter, "cairn_verification_failures_total",
                "Batches read from disk with a record that was not what it should be.");
  failed.Add(failures);
  families.push_back(failed.Take());
  Family waited(kCounter, "cairn_wait_seconds_total", "Time the model stood still for blocks.");
  waited.Add(sample.tiers.empty() ? 0 : Seconds(sample.tiers.front().waited_ns));
  families.push_back(waited.Take());
}

std::vector<MetricFamily> FamiliesOf(const MetricsSample& sample) {
  std::vector<MetricFamily> families;
  Family tokens(MetricType::Counter, "cairn_tokens_total",
                "Tokens that were read (texts and questions) or generated (answers).", "kind");
  tokens.Add(sample.tokens_read, "read");
  tokens.Add(sample.tokens_generated, "generated");
  families.push_back(tokens.Take());
  Family commits(MetricType::Counter, "cairn_commits_total", "Commits that became durable.");
  commits.Add(sample.commits);
  families.push_back(commits.Take());
  Family steps(MetricType::Counter, "cairn_device_steps_total",
               "Steps with a device: made there, and by the host in its place.", "by");
  steps.Add(sample.steps_on_device, "device");
  steps.Add(sample.steps_by_host, "host");
  families.push_back(steps.Take());
  AddTiers(sample, families);
  for (const auto& [latency, name, help] :
       {std::tuple(&sample.search, "cairn_search_seconds", "Time to choose blocks in one layer."),
        std::tuple(&sample.attention, "cairn_attention_seconds",
                   "Time of one layer's attention, search and waiting for blocks included."),
        std::tuple(&sample.commit, "cairn_commit_seconds", "Time of a commit.")}) {
    Family family(MetricType::Histogram, name, help);
    family.Add(*latency);
    families.push_back(family.Take());
  }
  Family queues(MetricType::Gauge, "cairn_queue_depth",
                "What waits: batches to be fetched, hints to read ahead, sealed blocks to be "
                "written.",
                "queue");
  queues.Add(sample.queues.fetches, "fetch");
  queues.Add(sample.queues.hints, "read_ahead");
  queues.Add(sample.queues.unwritten_blocks, "write");
  families.push_back(queues.Take());
  return families;
}

}  // namespace

std::string MetricsText(const MetricsSample& sample) {
  return prometheus::TextSerializer().Serialize(FamiliesOf(sample));
}

Result<std::unique_ptr<MetricsServer>> MetricsServer::Start(const RunMetrics& metrics, int port) {
  if (port < 0 || port > 65535) {
    return Fail(Errc::kInvalidArgument, "--metrics-port {}: use 0 to 65535", port);
  }
  HttpOptions options;
  options.port = port;
  options.limits.connections = kConnections;
  auto server = HttpServer::Start(std::move(options), [&metrics](const HttpRequest& request) {
    HttpReply reply{.type = "text/plain; version=0.0.4; charset=utf-8"};
    if (request.path == "/metrics") {
      reply.body = MetricsText(metrics.Sample());
    } else {
      reply.status = 404;
      reply.body = "counters are at /metrics\n";
    }
    return reply;
  });
  if (!server.has_value() && server.error().code == Errc::kResource) return server.error();
  if (!server.has_value()) {
    return Fail(Errc::kBusy,
                "--metrics-port {}: nothing can be served there, as another program has the port "
                "or this one may not; 0 takes any that is free",
                port);
  }
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(server).value()));
}

int MetricsServer::port() const { return server_->port(); }

}  // namespace cairn
