#include "tools/bench_device.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_size.h"
#include "base/progress.h"
#include "bench/device_bench.h"
#include "tools/device_shape_flags.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

class DeviceBenchCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "device", "A GPU: blocks moved there, landmarks scored and blocks attended for a token");
    shape_.Add(*command, options_);
    command->add_option("--pool", pool_, "Memory over which blocks are strewn, on either side")
        ->type_name("SIZE")
        ->capture_default_str();
    AddNumber(*command, "--recent", options_.recent_tokens,
              "Tokens before a step that an unmodified model always attends");
    AddNumber(*command, "--rounds", options_.rounds, "Of which medians are taken");
    AddNumber(*command, "--replays", options_.replays,
              "Tokens one behind the other between two readings of the device's clock");
    command->add_flag("--faiss", options_.faiss,
                      "Also time FAISS's search of the landmarks on the GPU, last of all");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(shape_.Read());
    auto pool = ParseByteSize(pool_);
    if (!pool.has_value()) {
      return Fail(Errc::kInvalidArgument, "--pool: {}", pool.error().message);
    }
    options_.pool_bytes = pool.value();
    CAIRN_TRY(const int32_t number, shape_.Number());
    CAIRN_TRY(options_.Validate());
    CAIRN_TRY(const auto device, Device::Open(number));
    Progress progress(flags_.quiet);
    CAIRN_TRY(const DeviceBenchResult result,
              RunDeviceBench(*device, options_, [&](const std::string& what) {
                progress.Show(what);
                return Interrupted();
              }));
    progress.Finish();
    flags_.json ? PrintAsJson(*device, result) : Print(*device, result);
    return Ok();
  }

 private:
  static nlohmann::json TimesJson(const std::vector<AttendTime>& times) {
    nlohmann::json all = nlohmann::json::array();
    for (const AttendTime& time : times) {
      all.push_back({{"blocks", time.blocks},
                     {"parts", time.parts},
                     {"seconds", time.seconds},
                     {"share_of_memory", time.share}});
    }
    return all;
  }

  static nlohmann::json NumberOrNull(const std::optional<double>& number) {
    return number ? nlohmann::json(*number) : nlohmann::json();
  }
  // Of FAISS's time, a call for each head, over that of the scan of codes.
  static std::optional<double> FlatOverScan(const DeviceBenchResult& r) {
    if (!r.faiss.flat_seconds) return {};
    return *r.faiss.flat_seconds / r.coded_scan.seconds;
  }

  void PrintAsJson(const Device& device, const DeviceBenchResult& r) const {
    const LaunchResult& launch = r.attend_one_launch;
    nlohmann::json json = ShapeJson(device, options_);
    json.update(nlohmann::json{{"recent", options_.recent_tokens},
                               {"pool_bytes", options_.pool_bytes},
                               {"rounds", options_.rounds},
                               {"replays", options_.replays},
                               {"wait_seconds", r.wait_seconds},
                               {"memory_bytes_per_second", r.memory_bytes_per_second},
                               {"memory_bytes_per_second_first", r.memory_bytes_per_second_first},
                               {"memory_bytes_per_second_last", r.memory_bytes_per_second_last},
                               {"copy_bytes_per_second", r.copy_bytes_per_second},
                               {"batch_bytes_per_second", r.batch_bytes_per_second},
                               {"batch_share_of_copy", r.batch_share},
                               {"gather_bytes_per_second", r.gather_bytes_per_second},
                               {"gather_share_of_copy", r.gather_share},
                               {"scan_seconds", r.scan.seconds},
                               {"scan_waited_seconds", r.scan.waited_seconds},
                               {"scan_bytes_per_second", r.scan_bytes_per_second},
                               {"coded_scan_seconds", r.coded_scan.seconds},
                               {"coded_scan_waited_seconds", r.coded_scan.waited_seconds},
                               {"coded_scan_bytes_per_second", r.coded_scan_bytes_per_second},
                               {"coded_scan_overlapped_seconds", r.coded_scan_overlapped_seconds},
                               {"coded_scan_apart_seconds", r.coded_scan_apart_seconds},
                               {"attend_seconds", r.attend.seconds},
                               {"attend_waited_seconds", r.attend.waited_seconds},
                               {"attend_bytes_per_second", r.attend_bytes_per_second},
                               {"attend_share_of_memory", r.attend_share},
                               {"attend_by_parts", TimesJson(r.attend_by_parts)},
                               {"attend_one_launch_lists", launch.lists},
                               {"attend_one_launch_bytes", launch.bytes},
                               {"attend_one_launch_seconds", launch.seconds},
                               {"attend_one_launch_bytes_per_second", launch.bytes_per_second},
                               {"attend_one_launch_share_of_memory", launch.share},
                               {"attend_one_launch_by_parts", TimesJson(launch.by_parts)},
                               {"layer_waits_seconds", r.layer_waits_seconds},
                               {"faiss_search_seconds", NumberOrNull(r.faiss.search_seconds)},
                               {"faiss_flat_seconds", NumberOrNull(r.faiss.flat_seconds)},
                               {"faiss_flat_over_coded_scan", NumberOrNull(FlatOverScan(r))},
                               {"faiss_problem", r.faiss.problem}});
    PrintJson(json);
  }

  static void PrintTimes(const std::vector<AttendTime>& times) {
    for (const AttendTime& time : times) {
      fmt::print("  lists of {:>3} in {:>3} parts    {:.3f} ms, {:.2f} of the memory's\n",
                 time.blocks, time.parts, 1e3 * time.seconds, time.share);
    }
  }

  void Print(const Device& device, const DeviceBenchResult& r) const {
    fmt::print("{}, {}: {} layers, {} KV heads of {} numbers, {} query heads each\n", device.Name(),
               device.model(), options_.layers, options_.kv_heads, options_.block.head_dim,
               options_.group);
    fmt::print("memory of the device          {:8.1f} GB/s; first {:.1f}, last {:.1f}\n",
               r.memory_bytes_per_second / 1e9, r.memory_bytes_per_second_first / 1e9,
               r.memory_bytes_per_second_last / 1e9);
    fmt::print("a long copy there             {:8.1f} GB/s\n", r.copy_bytes_per_second / 1e9);
    fmt::print("blocks of {:>9}, a batch    {:8.1f} GB/s, {:.2f} of it\n",
               FormatByteSize(options_.block.payload_bytes()), r.batch_bytes_per_second / 1e9,
               r.batch_share);
    fmt::print("the same by a kernel          {:8.1f} GB/s, {:.2f} of it\n",
               r.gather_bytes_per_second / 1e9, r.gather_share);
    fmt::print("a wait of the host            {:8.1f} us\n", 1e6 * r.wait_seconds);
    fmt::print(
        "a token: landmarks of {} tokens scanned {:.3f} ms, {:.1f} GB/s; waited for {:.3f} ms\n",
        options_.tokens, 1e3 * r.scan.seconds, r.scan_bytes_per_second / 1e9,
        1e3 * r.scan.waited_seconds);
    fmt::print(
        "a token: the same of 8 bits {:.3f} ms, {:.1f} GB/s; waited for {:.3f} ms; overlapping "
        "{:.3f} "
        "ms; by several launches {:.3f} ms\n",
        1e3 * r.coded_scan.seconds, r.coded_scan_bytes_per_second / 1e9,
        1e3 * r.coded_scan.waited_seconds, 1e3 * r.coded_scan_overlapped_seconds,
        1e3 * r.coded_scan_apart_seconds);
    fmt::print(
        "a token: {} blocks of each head attended, a launch for each layer {:.3f} ms, {:.1f} GB/s, "
        "{:.2f} of the memory's; waited for {:.3f} ms\n",
        options_.retrieve, 1e3 * r.attend.seconds, r.attend_bytes_per_second / 1e9, r.attend_share,
        1e3 * r.attend.waited_seconds);
    PrintTimes(r.attend_by_parts);
    const LaunchResult& launch = r.attend_one_launch;
    fmt::print(
        "{} such lists of {} attended in one launch {:.3f} ms, {:.1f} GB/s, {:.2f} of the "
        "memory's\n",
        launch.lists, FormatByteSize(launch.bytes), 1e3 * launch.seconds,
        launch.bytes_per_second / 1e9, launch.share);
    PrintTimes(launch.by_parts);
    fmt::print("a token: both, two waits in each layer  {:.3f} ms\n", 1e3 * r.layer_waits_seconds);
    PrintFaiss(r);
  }

  static void PrintFaiss(const DeviceBenchResult& r) {
    if (!r.faiss.problem.empty()) {
      fmt::print("FAISS was not timed: {}\n", r.faiss.problem);
      return;
    }
    fmt::print(
        "a token: FAISS over the same landmarks, a call for each layer {:.3f} ms, for each head "
        "{:.3f} ms, {:.1f} times the scan of 8 bits\n",
        1e3 * r.faiss.search_seconds.value_or(0), 1e3 * r.faiss.flat_seconds.value_or(0),
        FlatOverScan(r).value_or(0));
  }

  DeviceBenchOptions options_;
  DeviceShapeFlags shape_;
  std::string pool_ = "1GiB";
  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeDeviceBench() { return std::make_unique<DeviceBenchCommand>(); }

}  // namespace cairn
