#include "tools/ladder_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

#include "base/byte_size.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr int kWide = 36;

json MedianOf(const json& estimate) {
  return estimate.is_null() ? json(nullptr) : estimate.at("median");
}

std::string Rate(const json& bytes_per_second) {
  if (bytes_per_second.is_null()) return "-";
  return fmt::format("{:.0f}", MedianOf(bytes_per_second).get<double>() / 1e6);
}

std::string NameOf(const json& point) {
  std::string name =
      point.at("tier").get<std::string>() + ": " + point.at("step").get<std::string>();
  if (point.at("variant") != "") name += ", " + point.at("variant").get<std::string>();
  return name;
}

bool IsBase(const json& ladder, const json& point) {
  const json& settings = ladder.at("settings");
  return point.at("loop") == "closed" && point.at("batch") == settings.at("base_batch") &&
         point.at("readers") == settings.at("base_readers") &&
         point.at("block_bytes") == settings.at("base_block_bytes");
}

std::string Row(const std::string& name, const json& point) {
  const json cpu = point.at("cpu_ns");
  return fmt::format("{:<{}} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9}\n", name, kWide,
                     FormatNs(MedianOf(point.at("p50_ns"))), FormatNs(MedianOf(point.at("p90_ns"))),
                     FormatNs(MedianOf(point.at("p99_ns"))),
                     FormatNs(MedianOf(point.at("p999_ns"))), FormatNs(point.at("max_ns")),
                     Rate(point.at("bytes_per_second")), FormatNs(MedianOf(cpu)));
}

std::string Head(const std::string& what) {
  return fmt::format("\n{:<{}} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9}\n", what, kWide, "p50",
                     "p90", "p99", "p99.9", "max", "MB/s", "CPU");
}

std::string BaseTables(const json& ladder) {
  const json& settings = ladder.at("settings");
  std::string tiers = Head("the ladder"), steps = Head("steps"), mixes = Head("mixes");
  for (const json& tier : ladder.at("tiers")) {
    if (tier.at("present").get<bool>()) continue;
    tiers += fmt::format("{:<{}} absent: {}\n", tier.at("name").get<std::string>(), kWide,
                         tier.at("note").get<std::string>());
  }
  for (const json& point : ladder.at("points")) {
    const bool cpu = point.at("tier") == "CPU";
    const bool unsized = cpu && point.at("block_bytes") == 0 && point.at("loop") == "closed" &&
                         (point.at("batch") == 1 || point.at("batch") == settings.at("base_batch"));
    if (!unsized && !IsBase(ladder, point)) continue;
    if (cpu || point.at("step") == "commit") {
      steps += Row(NameOf(point), point);
    } else if (point.at("tier") == "mix") {
      mixes += Row(point.at("variant").get<std::string>(), point);
    } else {
      tiers += Row(NameOf(point), point);
    }
  }
  for (const json& peer : ladder.at("peers")) {
    if (peer.at("present").get<bool>()) continue;
    tiers += fmt::format("{:<{}} missing: {}\n", peer.at("name").get<std::string>(), kWide,
                         peer.at("note").get<std::string>());
  }
  return tiers + steps + mixes;
}

/// One axis: a row for each thing fetched from, a column for each value of the axis.
std::string Axis(const json& ladder, const std::string& title, const std::string& axis,
                 const std::function<std::string(const json&)>& cell) {
  std::set<int64_t> columns;
  std::vector<std::string> names;
  std::vector<std::vector<std::pair<int64_t, std::string>>> rows;
  for (const json& point : ladder.at("points")) {
    json crossing = point;  // as if it stood where the axes cross
    crossing[axis] = ladder.at("settings").at("base_" + axis);
    if (!IsBase(ladder, crossing) || point.at("tier") == "mix" || point.at("tier") == "CPU") {
      continue;
    }
    const std::string name = NameOf(point);
    size_t row = 0;
    while (row < names.size() && names[row] != name) ++row;
    if (row == names.size()) {
      names.push_back(name);
      rows.emplace_back();
    }
    rows[row].emplace_back(point.at(axis).get<int64_t>(), cell(point));
    columns.insert(point.at(axis).get<int64_t>());
  }
  std::string table = fmt::format("\n{:<{}}", title, kWide);
  for (const int64_t column : columns) {
    table +=
        fmt::format(" {:>10}", axis == "block_bytes" ? FormatByteSize(static_cast<uint64_t>(column))
                                                     : std::to_string(column));
  }
  table += '\n';
  for (size_t row = 0; row < names.size(); ++row) {
    table += fmt::format("{:<{}}", names[row], kWide);
    for (const int64_t column : columns) {
      std::string text = "-";
      for (const auto& [at, value] : rows[row]) text = at == column ? value : text;
      table += fmt::format(" {:>10}", text);
    }
    table += '\n';
  }
  return table;
}

/// Waiting is in the time from the intended start only: the closed loop beside it has none.
std::string OpenLoops(const json& ladder) {
  std::string table =
      fmt::format("\n{:<{}} {:>7} {:>8} {:>5} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "open loop", kWide,
                  "readers", "arrivals", "load", "p50", "p99", "p99.9", "work p99", "closed");
  for (const json& point : ladder.at("points")) {
    if (point.at("loop") != "open") continue;
    json closed;
    for (const json& other : ladder.at("points")) {
      const bool same = other.at("loop") == "closed" && other.at("variant") == "" &&
                        other.at("tier") == point.at("tier") &&
                        other.at("step") == point.at("step") &&
                        other.at("batch") == point.at("batch") &&
                        other.at("block_bytes") == point.at("block_bytes") &&
                        other.at("readers") == point.at("readers");
      if (same) closed = MedianOf(other.at("p99_ns"));
    }
    table +=
        fmt::format("{:<{}} {:>7} {:>8} {:>4}% {:>9} {:>9} {:>9} {:>9} {:>9}\n",
                    point.at("tier").get<std::string>(), kWide, point.at("readers").get<int>(),
                    point.at("variant").get<std::string>(), point.at("load_percent").get<int>(),
                    FormatNs(MedianOf(point.at("p50_ns"))), FormatNs(MedianOf(point.at("p99_ns"))),
                    FormatNs(MedianOf(point.at("p999_ns"))),
                    FormatNs(MedianOf(point.at("service_p99_ns"))), FormatNs(closed));
  }
  return table + "  work p99: from the real start; closed: p99 of the closed loop\n";
}

std::string Fio(const json& ladder) {
  std::string text;
  for (const json& one : ladder.at("fio")) {
    double least = 0, most = 0;
    for (const json& run : one.at("runs")) {
      const double rate = run.at("bytes_per_second").get<double>() / 1e6;
      least = least == 0 ? rate : std::min(least, rate);
      most = std::max(most, rate);
    }
    std::string own;
    for (const json& rate : one.at("own_bytes_per_second")) {
      own += fmt::format(" {:.0f}", rate.get<double>() / 1e6);
    }
    text += fmt::format(
        "fio, {} x {}: {:.0f} to {:.0f} MB/s in {} runs; our reader on the same file:{} ({})\n",
        one.at("batch").get<int>(), FormatByteSize(one.at("block_bytes").get<uint64_t>()), least,
        most, one.at("runs").size(), own,
        one.at("agrees").get<bool>() ? "its median is within" : "its median is outside");
  }
  return text;
}

/// Device bytes over payload bytes of what must be cold and of what must not be.
std::string Proof(const json& ladder) {
  double payload = 0, process = 0, least = 0, cached = 0;
  bool known = true;
  size_t points = 0;
  for (const json& point : ladder.at("points")) {
    const json& read = point.at("process_read_bytes");
    if (read.is_null()) known = false;
    if (!known) break;
    const auto bytes = point.at("payload_bytes").get<double>();
    if (point.at("cold").get<bool>() && bytes > 0) {
      payload += bytes;
      process += read.get<double>();
      const double ratio = read.get<double>() / bytes;
      least = points++ == 0 ? ratio : std::min(least, ratio);
    }
    const bool memory = point.at("tier") == "page cache" || point.at("tier") == "host memory" ||
                        point.at("tier") == "compute slab" || point.at("tier") == "Redis";
    if (memory) cached += read.get<double>();
  }
  if (!known) return "cold: this system does not count what a process reads from devices\n";
  return fmt::format(
      "cold: {} points asked for {} and the kernel counts {} from the device ({:.2f} of it; the "
      "least of a point {:.2f}); points in memory {}\n",
      points, FormatByteSize(static_cast<uint64_t>(payload)),
      FormatByteSize(static_cast<uint64_t>(process)), payload > 0 ? process / payload : 0, least,
      FormatByteSize(static_cast<uint64_t>(cached)));
}

std::string Quality(const json& ladder) {
  const json& noise = ladder.at("noise");
  const json& overhead = ladder.at("overhead");
  std::string text = "\n";
  text += Fio(ladder) + Proof(ladder);
  text += fmt::format(
      "noise: before each turn a loop of fixed arithmetic took {} and reading 4 MiB of memory {}; "
      "nine of ten such loops lay within {:.0f} %, the medians of the rounds within {:.0f} %; "
      "other "
      "programs had {:.0f} % of the cores\n",
      FormatNs(MedianOf(noise.at("calibration_ns"))), FormatNs(MedianOf(noise.at("memory_ns"))),
      noise.at("spread_percent").get<double>(),
      std::ceil(std::max(1.0, noise.at("drift_percent").get<double>())),
      noise.at("others_percent").get<double>());
  text += fmt::format(
      "the ladder itself: an empty step takes {} with two looks at the clock and {} with many "
      "between them, at most {:.2f} % of a step ({})\n",
      FormatNs(overhead.at("clock_ns")), FormatNs(overhead.at("walk_ns")),
      overhead.at("worst_percent").get<double>(), overhead.at("worst").get<std::string>());
  text += fmt::format(
      "percentiles are within {:.2f} % of the truth; a median's interval holds it with {:.0f} %\n",
      ladder.at("histogram_error_percent").get<double>(),
      100 * ladder.at("interval_probability").get<double>());
  text +=
      "cheap steps are timed several together, as timed_together has it in the JSON: p50 is then "
      "of "
      "their means, which have no tails\n";
  if (!ladder.at("too_small").empty()) {
    text += fmt::format("left out, too small to be told from the ladder itself: {} points\n",
                        ladder.at("too_small").size());
  }
  return text;
}

}  // namespace

std::string FormatNs(const json& ns) {
  if (ns.is_null()) return "-";
  double value = ns.get<double>();
  const char* unit = "ns";
  for (const char* larger : {"us", "ms", "s"}) {
    if (value < 999.5) break;
    value /= 1000;
    unit = larger;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, unit);
}

std::string LadderText(const json& ladder) {
  const json& machine = ladder.at("machine");
  const json& settings = ladder.at("settings");
  std::string text = fmt::format(
      "{}, {} cores, {}, {}, {}; {} UTC\nbatches of {} blocks of {}, {} at a time; medians of {} "
      "turns of {:.0f} ms\n",
      machine.at("cpu").get<std::string>(), machine.at("cores").get<int>(),
      machine.at("kernel").get<std::string>(), machine.at("system").get<std::string>(),
      machine.at("file_system").get<std::string>(), ladder.at("date").get<std::string>(),
      settings.at("base_batch").get<int>(),
      FormatByteSize(settings.at("base_block_bytes").get<uint64_t>()),
      settings.at("base_readers").get<int>(), settings.at("repetitions").get<int>(),
      1e3 * settings.at("turn_seconds").get<double>());
  text += BaseTables(ladder);
  const auto p50 = [](const json& point) { return FormatNs(MedianOf(point.at("p50_ns"))); };
  const auto p99 = [](const json& point) { return FormatNs(MedianOf(point.at("p99_ns"))); };
  const auto rate = [](const json& point) { return Rate(point.at("bytes_per_second")); };
  text += Axis(ladder, "p50 by block size", "block_bytes", p50);
  text += Axis(ladder, "p50 by batch", "batch", p50);
  text += Axis(ladder, "MB/s by batch", "batch", rate);
  text += Axis(ladder, "p99 by readers", "readers", p99);
  text += Axis(ladder, "MB/s by readers", "readers", rate);
  text += OpenLoops(ladder);
  return text + Quality(ladder);
}

}  // namespace cairn
