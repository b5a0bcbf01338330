// What is served to Prometheus is what the command's own report says, and what happened.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "storage/faulty_cold_store.h"
#include "storage/memory_cold_store.h"
#include "tools/metrics_server.h"
#include "tools/run_metrics.h"
#include "tools/tier_report.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = 4096;

/// Series and value of each line that is no comment.
std::map<std::string, double> Parse(const std::string& text) {
  std::map<std::string, double> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.rfind(' ');
    if (line.empty() || line.front() == '#' || space == std::string::npos) continue;
    found[line.substr(0, space)] = std::stod(line.substr(space + 1));
  }
  return found;
}

std::string Tier(const char* metric, const std::string& tier) {
  return std::string("cairn_") + metric + "{tier=\"" + tier + "\"}";
}

std::vector<BlockId> Blocks(uint32_t first, uint32_t count) {
  std::vector<BlockId> ids;
  for (uint32_t i = first; i < first + count; ++i) ids.push_back({.extent = 1, .ordinal = i});
  return ids;
}

/// 16 blocks sealed, a tier of eight with `compute` before it, and some of them fetched.
class MetricsTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const TieredStoreOptions options{.payload_bytes = kPayloadBytes,
                                     .host_bytes = 9 * (kPayloadBytes + 512),
                                     .compute_bytes = GetParam() ? 5 * (kPayloadBytes + 512) : 0,
                                     .min_pinned_blocks = 4};
    auto opened = TieredStore::Open(options, cold_);
    ASSERT_TRUE(opened.has_value());
    tiers_ = std::move(opened).value();
    metrics_.Watch(counters_, steps_, *tiers_);
    const std::vector<std::byte> payload(kPayloadBytes, std::byte{7});
    for (const BlockId& id : Blocks(0, 16)) ASSERT_TRUE(tiers_->Seal(id, payload).has_value());
    unwritten_ = tiers_->Queues().unwritten_blocks;
    const auto text = Parse(MetricsText(metrics_.Sample()));
    EXPECT_EQ(text.at("cairn_queue_depth{queue=\"write\"}"), static_cast<double>(unwritten_));
    ASSERT_TRUE(tiers_->Flush(0).has_value());
    for (const uint32_t first : {0u, 4u, 0u, 12u, 0u}) {
      ASSERT_TRUE(tiers_->Fetch(Blocks(first, 4)).has_value());
    }
  }

  MemoryColdStore memory_;
  FaultyColdStore cold_{memory_};
  RunCounters counters_;
  StepCounts steps_;
  Timeline timeline_{{.slices = false, .latencies = true}};
  RunMetrics metrics_{timeline_};
  std::unique_ptr<TieredStore> tiers_;
  uint64_t unwritten_ = 0;
};

TEST_P(MetricsTest, AreTheReportOfTheTiers) {
  EXPECT_GT(unwritten_, 0u);
  const auto text = Parse(MetricsText(metrics_.Sample()));
  const nlohmann::json report = TiersJson(tiers_->Report(), 0, steps_);
  ASSERT_EQ(report["tiers"].size(), GetParam() ? 3u : 2u);
  for (const nlohmann::json& tier : report["tiers"]) {
    const auto name = tier["tier"].get<std::string>();
    EXPECT_EQ(text.at(Tier("fetched_blocks_total", name)), tier["fetched_blocks"]) << name;
    EXPECT_EQ(text.at(Tier("hit_blocks_total", name)), tier["hit_blocks"]) << name;
    EXPECT_EQ(text.at(Tier("tier_bytes_total", name)), tier["bytes_in"]) << name;
    EXPECT_EQ(text.at(Tier("tier_held_bytes", name)), tier["held_bytes"]) << name;
    EXPECT_EQ(text.at(Tier("fetch_seconds_count", name)), tier["batches"]) << name;
    EXPECT_GT(tier["fetched_blocks"], 0) << name;
    EXPECT_DOUBLE_EQ(text.at(Tier("hit_ratio", name)),
                     tier["hit_blocks"].get<double>() / tier["fetched_blocks"].get<double>());
  }
  EXPECT_EQ(text.count(Tier("tier_capacity_bytes", "host")), 1u);
  EXPECT_EQ(text.count(Tier("tier_capacity_bytes", "cold")), 0u) << "it has no limit";
  EXPECT_NEAR(text.at("cairn_wait_seconds_total"), report["seconds_waited"], 1e-12);
  EXPECT_EQ(text.at("cairn_queue_depth{queue=\"write\"}"), 0);
}

TEST_P(MetricsTest, CountADamagedRecordOnce) {
  const auto failures = [&] {
    return Parse(MetricsText(metrics_.Sample())).at("cairn_verification_failures_total");
  };
  EXPECT_EQ(failures(), 0);
  cold_.Damage(Blocks(9, 1).front());
  EXPECT_FALSE(tiers_->Fetch(Blocks(8, 4)).has_value());
  EXPECT_EQ(failures(), 1);
  cold_.Heal();
  cold_.FailNth(ColdOperation::kReadBlocks, 1);
  EXPECT_FALSE(tiers_->Fetch(Blocks(8, 4)).has_value());
  EXPECT_EQ(failures(), 1) << "a read that fails says nothing of the record";
  EXPECT_EQ(TiersJson(tiers_->Report(), 0, steps_)["tiers"].back()["verify_failures"], 1);
}

TEST_P(MetricsTest, AreWhatWasCountedAlsoAfterTheEnd) {
  counters_.tokens_read = 100;
  counters_.tokens_generated = 7;
  counters_.commits = 2;
  steps_.on_device = 5;
  steps_.by_host = 3;
  const auto begin = Timeline::Clock::now();
  timeline_.Add("search", 0, begin, begin + std::chrono::nanoseconds(1023));
  timeline_.Add("search", 0, begin, begin + std::chrono::nanoseconds(1024));
  timeline_.Add("attention", 0, begin, begin + std::chrono::seconds(1));
  for (const bool released : {false, true}) {
    if (released) {
      metrics_.Release();
      tiers_.reset();
      counters_.commits = 99;  // of nobody any more
      steps_.by_host = 99;
    }
    const auto text = Parse(MetricsText(metrics_.Sample()));
    EXPECT_EQ(text.at("cairn_tokens_total{kind=\"read\"}"), 100);
    EXPECT_EQ(text.at("cairn_tokens_total{kind=\"generated\"}"), 7);
    EXPECT_EQ(text.at("cairn_commits_total"), 2);
    EXPECT_EQ(text.at("cairn_device_steps_total{by=\"device\"}"), 5);
    EXPECT_EQ(text.at("cairn_device_steps_total{by=\"host\"}"), 3);
    EXPECT_EQ(text.at("cairn_search_seconds_bucket{le=\"1.024e-06\"}"), 1);
    EXPECT_EQ(text.at("cairn_search_seconds_bucket{le=\"2.048e-06\"}"), 2);
    EXPECT_NEAR(text.at("cairn_search_seconds_sum"), 2047e-9, 1e-15);
    EXPECT_EQ(text.at("cairn_attention_seconds_bucket{le=\"0.536870912\"}"), 0);
    EXPECT_EQ(text.at("cairn_attention_seconds_bucket{le=\"+Inf\"}"), 1);
    EXPECT_EQ(text.at("cairn_commit_seconds_count"), 0);
    EXPECT_GT(text.at(Tier("fetched_blocks_total", "host")), 0);
  }
}

TEST_P(MetricsTest, BeginWithTheCommandAndNotWithASession) {
  counters_.tokens_read = 100;
  steps_.by_host = 3;
  const auto first = Parse(MetricsText(metrics_.Sample()));
  metrics_.Release();
  // Another engine counts from 0, and its store has blocks already.
  const TieredStoreOptions options{.payload_bytes = kPayloadBytes,
                                   .host_bytes = 9 * (kPayloadBytes + 512),
                                   .compute_bytes = GetParam() ? 5 * (kPayloadBytes + 512) : 0,
                                   .min_pinned_blocks = 4};
  auto other = TieredStore::Open(options, cold_);
  ASSERT_TRUE(other.has_value());
  RunCounters counters;
  StepCounts steps;
  metrics_.Watch(counters, steps, *other.value());
  EXPECT_EQ(Parse(MetricsText(metrics_.Sample())).at(Tier("fetched_blocks_total", "host")),
            first.at(Tier("fetched_blocks_total", "host")));
  counters.tokens_read = 10;
  steps.by_host = 1;
  ASSERT_TRUE(other.value()->Fetch(Blocks(0, 4)).has_value());
  const auto own = other.value()->Report();
  auto now = Parse(MetricsText(metrics_.Sample()));
  EXPECT_EQ(now.at("cairn_tokens_total{kind=\"read\"}"), 110);
  EXPECT_EQ(now.at("cairn_device_steps_total{by=\"host\"}"), 4);
  for (const TierReport& tier : own) {
    const auto added = [&](const char* metric) {
      return now.at(Tier(metric, tier.name)) - first.at(Tier(metric, tier.name));
    };
    EXPECT_EQ(added("fetched_blocks_total"), static_cast<double>(tier.fetched_blocks));
    EXPECT_EQ(added("hit_blocks_total"), static_cast<double>(tier.hit_blocks));
    EXPECT_EQ(added("tier_bytes_total"), static_cast<double>(tier.bytes_in));
    EXPECT_EQ(added("fetch_seconds_count"), static_cast<double>(tier.latency_ns.count()));
    EXPECT_EQ(now.at(Tier("tier_held_bytes", tier.name)), static_cast<double>(tier.held_bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, MetricsTest, testing::Bool(), [](const auto& info) {
  return info.param ? "ComputeHostCold" : "HostCold";
});

/// The answer to GET /metrics, header and body; empty if nobody listens at the address.
std::string Get(const char* address, int port, const std::string& path = "/metrics",
                const std::string& host = "127.0.0.1") {
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address, &to.sin_addr);
  std::string answer;
  if (connect(file, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + host + ":" +
                                std::to_string(port) + "\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(file, request.data(), request.size()), std::ssize(request));
    char part[4096];
    for (ssize_t got; (got = read(file, part, sizeof part)) > 0;) {
      answer.append(part, static_cast<size_t>(got));
    }
  }
  close(file);
  return answer;
}

TEST(MetricsServerTest, ServesThisMachineOnlyAndOneAtAPort) {
  Timeline timeline({.slices = false, .latencies = true});
  const RunMetrics metrics(timeline);
  const auto server = MetricsServer::Start(metrics, 0);
  ASSERT_TRUE(server.has_value());
  const int port = server.value()->port();
  ASSERT_GT(port, 0);
  const std::string answer = Get("127.0.0.1", port);
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200");
  EXPECT_NE(answer.find("cairn_tokens_total{kind=\"read\"} 0"), std::string::npos) << answer;
  EXPECT_EQ(Get("127.0.0.1", port, "/metrics", "localhost").substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(Get("127.0.0.1", port, "/").substr(0, 12), "HTTP/1.1 404");
  EXPECT_EQ(Get("127.0.0.1", port, "/metrics", "a.page.elsewhere").substr(0, 12), "HTTP/1.1 421");
  EXPECT_EQ(Get("127.0.0.2", port), "") << "no other address is listened on";
  const auto second = MetricsServer::Start(metrics, port);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kBusy);
  EXPECT_NE(second.error().message.find(std::to_string(port)), std::string::npos);
  for (const int no_port : {-1, 65536}) {
    const auto refused = MetricsServer::Start(metrics, no_port);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
  }
}

TEST(MetricsServerTest, SamplesWhileTheStoreWorks) {
  MemoryColdStore cold;
  const TieredStoreOptions options{.payload_bytes = kPayloadBytes,
                                   .host_bytes = 9 * (kPayloadBytes + 512),
                                   .min_pinned_blocks = 4};
  auto tiers = TieredStore::Open(options, cold);
  ASSERT_TRUE(tiers.has_value());
  RunCounters counters;
  StepCounts steps;
  Timeline timeline({.slices = false, .latencies = true});
  RunMetrics metrics(timeline);
  metrics.Watch(counters, steps, *tiers.value());
  double last = 0;
  std::jthread work([&](const std::stop_token& stop) {
    const std::vector<std::byte> payload(kPayloadBytes, std::byte{7});
    for (uint32_t i = 0; !stop.stop_requested() && i < 1'000'000; ++i) {
      const BlockId id{.extent = 1, .ordinal = i};
      EXPECT_TRUE(tiers.value()->Seal(id, payload).has_value());
      EXPECT_TRUE(tiers.value()->Fetch({&id, 1}).has_value());
      ++counters.tokens_read;
    }
  });
  for (int i = 0; i < 20; ++i) {
    const double now =
        Parse(MetricsText(metrics.Sample())).at(Tier("fetched_blocks_total", "host"));
    EXPECT_GE(now, last);
    last = now;
  }
  work.request_stop();
  work.join();
  metrics.Release();
  EXPECT_EQ(Parse(MetricsText(metrics.Sample())).at("cairn_tokens_total{kind=\"read\"}"),
            static_cast<double>(counters.tokens_read));
}

}  // namespace
}  // namespace cairn
