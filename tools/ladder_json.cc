#include "tools/ladder_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "tools/json_depth.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr size_t kCurvePoints = 40;
constexpr double kQuantiles[] = {0.5, 0.9, 0.99, 0.999};
constexpr const char* kQuantileNames[] = {"p50_ns", "p90_ns", "p99_ns", "p999_ns"};

/// Four digits are more than any of them is good for.
double Rounded(double value) { return std::stod(fmt::format("{:.4g}", value)); }

json ToJson(const Estimate& estimate) {
  json made{{"median", Rounded(estimate.median)}, {"low", nullptr}, {"high", nullptr}};
  if (estimate.interval) {
    made["low"] = Rounded(estimate.interval->first);
    made["high"] = Rounded(estimate.interval->second);
  }
  return made;
}

json ToJson(const std::optional<Estimate>& estimate) {
  return estimate ? ToJson(*estimate) : json(nullptr);
}

json ToJson(const std::optional<uint64_t>& bytes) { return bytes ? json(*bytes) : json(nullptr); }

json KeyJson(const LadderKey& key) {
  json made{{"name", key.Name()},     {"tier", key.tier},
            {"step", key.step},       {"block_bytes", key.block_bytes},
            {"batch", key.batch},     {"readers", key.readers},
            {"variant", key.variant}, {"loop", key.load_percent ? "open" : "closed"},
            {"load_percent", nullptr}};
  if (key.load_percent) made["load_percent"] = *key.load_percent;
  return made;
}

/// Curves are long, so only points that are drawn have one: where the axes cross.
bool HasCurve(const LadderKey& key, const LadderOptions& options) {
  return key.step.starts_with("fetch") && key.block_bytes == options.base_block_bytes() &&
         key.batch == options.base_batch();
}

json PointJson(const LadderPoint& point, const LadderOptions& options) {
  json made = KeyJson(point.key);
  for (size_t i = 0; i < std::size(kQuantiles); ++i) {
    made[kQuantileNames[i]] = ToJson(point.Latency(kQuantiles[i]));
  }
  made["max_ns"] = nullptr;
  if (const auto max_ns = point.MaxNs()) made["max_ns"] = Rounded(*max_ns);
  made["operations"] = point.operations();
  made["operations_per_second"] = ToJson(point.OperationsPerSecond());
  made["bytes_per_second"] = ToJson(point.BytesPerSecond());
  made["timed_together"] = point.together;
  // While an open loop waits it looks at the clock, so its CPU time says nothing.
  made["cpu_ns"] = point.key.load_percent ? json(nullptr) : ToJson(point.CpuNs());
  made["cold"] = point.cold;
  made["payload_bytes"] = point.payload_bytes();
  made["process_read_bytes"] = ToJson(point.process_read_bytes());
  made["device_read_bytes"] = ToJson(point.device_read_bytes());
  made["served_percent"] = nullptr;
  if (const std::vector<double> served = point.ServedPercent(); !served.empty()) {
    made["served_percent"] = {
        {"compute", Rounded(served[0])}, {"host", Rounded(served[1])}, {"ssd", Rounded(served[2])}};
  }
  if (point.key.load_percent) {
    made["rate_per_second"] = Rounded(point.rate_per_second.value_or(0));
    made["service_p50_ns"] = ToJson(point.Service(0.5));
    made["service_p99_ns"] = ToJson(point.Service(0.99));
  }
  if (point.together == 1 && HasCurve(point.key, options)) {
    json curve = json::array();
    for (const auto& [ps, share] : point.All().Curve(kCurvePoints)) {
      curve.push_back({Rounded(static_cast<double>(ps) * 1e-3), Rounded(share)});
    }
    made["cdf"] = std::move(curve);
  }
  return made;
}

json PresenceJson(const std::vector<Presence>& all) {
  json made = json::array();
  for (const Presence& one : all) {
    made.push_back({{"name", one.name}, {"present", one.present}, {"note", one.note}});
  }
  return made;
}

json FioJson(const std::vector<FioComparison>& all) {
  json made = json::array();
  for (const FioComparison& one : all) {
    json runs = json::array();
    for (const FioRun& run : one.runs) {
      runs.push_back({{"bytes_per_second", Rounded(run.bytes_per_second)},
                      {"p50_ns", run.p50_ns},
                      {"p99_ns", run.p99_ns},
                      {"max_ns", run.max_ns}});
    }
    json own = json::array();
    for (const double rate : one.own_bytes_per_second) own.push_back(Rounded(rate));
    made.push_back({{"command", fmt::format("{}", fmt::join(FioCommand(one.settings), " "))},
                    {"block_bytes", one.settings.block_bytes},
                    {"batch", one.settings.batch},
                    {"runs", std::move(runs)},
                    {"own_bytes_per_second", std::move(own)},
                    {"agrees", one.agrees()}});
  }
  return made;
}

json MachineJson(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"cores", machine.cores},
          {"memory_bytes", machine.memory_bytes},
          {"kernel", machine.kernel},
          {"system", machine.system},
          {"file_system", machine.file_system},
          {"attention", machine.attention}};
}

std::string CsvField(const json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  std::string text = value.get<std::string>();
  for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2)
    text.insert(at, 1, '"');
  return "\"" + text + "\"";
}

/// Whether those who read points find the kinds of values that they take for granted.
bool IsPoint(const json& point) {
  if (!point.is_object() || !point.contains("name")) return false;
  for (const char* key : {"name", "tier", "step", "variant", "loop"}) {
    if (point.contains(key) && !point[key].is_string()) return false;
  }
  for (const char* key : {"block_bytes", "batch", "readers"}) {
    if (point.contains(key) && !point[key].is_number()) return false;
  }
  return true;
}

}  // namespace

json LadderJson(const LadderResult& result, const LadderOptions& options, const Machine& machine,
                const std::string& command) {
  json points = json::array();
  for (const LadderPoint& point : result.points) points.push_back(PointJson(point, options));
  const LadderOverhead& overhead = result.overhead;
  return {{"format", kLadderFormat},
          {"version", kLadderVersion},
          {"command", command},
          {"date", machine.date},
          {"machine", MachineJson(machine)},
          {"settings",
           {{"store_bytes", options.store_bytes},
            {"turn_seconds", options.turn_seconds},
            {"repetitions", options.repetitions},
            {"full", options.full},
            {"base_block_bytes", options.base_block_bytes()},
            {"base_batch", options.base_batch()},
            {"base_readers", options.base_readers()}}},
          {"seconds", Rounded(result.seconds)},
          {"interval_probability", Rounded(IntervalProbability(options.repetitions))},
          {"histogram_error_percent", Rounded(FineHistogram::kErrorPercent)},
          {"noise",
           {{"calibration_ns", ToJson(result.noise.loop_ns)},
            {"memory_ns", ToJson(result.noise.memory_ns)},
            {"spread_percent", Rounded(result.noise.spread_percent)},
            {"drift_percent", Rounded(result.noise.drift_percent)},
            {"others_percent", Rounded(result.noise.others_percent)}}},
          {"overhead",
           {{"clock_ns", Rounded(overhead.clock_ns)},
            {"walk_ns", Rounded(overhead.walk_ns)},
            {"worst", overhead.worst},
            {"worst_percent", Rounded(overhead.worst_percent)}}},
          {"device_counters", result.device_counters},
          {"tiers", PresenceJson(result.tiers)},
          {"peers", PresenceJson(result.peers)},
          {"fio", FioJson(result.fio)},
          {"too_small", result.too_small},
          {"skipped", result.skipped},
          {"points", std::move(points)}};
}

json GoogleBenchmarkJson(const LadderResult& result, const Machine& machine) {
  json benchmarks = json::array();
  for (const LadderPoint& point : result.points) {
    int repetition = 0;
    for (const LadderTurn& turn : point.turns) {
      const auto operations = static_cast<double>(std::max<uint64_t>(turn.operations, 1));
      json one{{"name", point.key.Name()},
               {"run_name", point.key.Name()},
               {"run_type", "iteration"},
               {"repetitions", point.turns.size()},
               {"repetition_index", repetition++},
               {"threads", point.key.readers},
               {"iterations", turn.operations},
               {"real_time", turn.latency_ps.mean() * 1e-3},
               {"cpu_time", turn.cpu_seconds * 1e9 / operations},
               {"time_unit", "ns"},
               {"p50", static_cast<double>(turn.latency_ps.Percentile(0.5)) * 1e-3}};
      if (point.together == 1) {
        one["p99"] = static_cast<double>(turn.latency_ps.Percentile(0.99)) * 1e-3;
      }
      if (turn.payload_bytes > 0) {
        one["bytes_per_second"] =
            static_cast<double>(turn.payload_bytes) / std::max(turn.seconds, 1e-9);
      }
      benchmarks.push_back(std::move(one));
    }
  }
  return {{"context",
           {{"date", machine.date},
            {"host_name", "unnamed"},
            {"executable", "cairn bench ladder"},
            {"num_cpus", machine.cores},
            {"cpu_model", machine.cpu},
            {"library_build_type", "release"},
            {"caches", json::array()},
            {"load_avg", json::array()}}},
          {"benchmarks", std::move(benchmarks)}};
}

std::string LadderCsv(const json& ladder) {
  constexpr const char* kPlain[] = {"tier",
                                    "step",
                                    "block_bytes",
                                    "batch",
                                    "readers",
                                    "variant",
                                    "loop",
                                    "load_percent",
                                    "operations",
                                    "max_ns",
                                    "timed_together",
                                    "payload_bytes",
                                    "process_read_bytes",
                                    "device_read_bytes"};
  constexpr const char* kEstimates[] = {"p50_ns",  "p90_ns",           "p99_ns",
                                        "p999_ns", "bytes_per_second", "cpu_ns"};
  std::string csv;
  for (const char* name : kPlain) csv += std::string(name) + ",";
  for (const char* name : kEstimates) csv += fmt::format("{0},{0}_low,{0}_high,", name);
  csv.back() = '\n';
  for (const json& point : ladder.at("points")) {
    for (const char* name : kPlain) csv += CsvField(point.at(name)) + ",";
    for (const char* name : kEstimates) {
      const json& estimate = point.at(name);
      for (const char* part : {"median", "low", "high"}) {
        csv += (estimate.is_null() ? "" : CsvField(estimate.at(part))) + ",";
      }
    }
    csv.back() = '\n';
  }
  return csv;
}

Result<json> ReadLadder(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Fail(Errc::kNotFound, "cannot open {}; check the path of the ladder", path);
  std::ostringstream text;
  text << file.rdbuf();
  json ladder;
  if (JsonIsShallow(text.view())) ladder = json::parse(text.view(), nullptr, false);
  if (!ladder.is_object() || ladder.value("format", json()) != kLadderFormat ||
      !ladder.value("version", json()).is_number_integer() ||
      !ladder.value("points", json()).is_array() ||
      !std::ranges::all_of(ladder["points"], IsPoint)) {
    return Fail(Errc::kCorruption,
                "{} is not a ladder; name a file that `cairn bench ladder --json` wrote", path);
  }
  if (ladder["version"].get<int>() > kLadderVersion) {
    return Fail(Errc::kUnsupported, "{} has format {} and this program knows {}; use a newer cairn",
                path, ladder["version"].get<int>(), kLadderVersion);
  }
  return ladder;
}

}  // namespace cairn
