#include "bench/fio_peer.h"

#include <nlohmann/json.hpp>

#include "bench/child_process.h"

namespace cairn {
namespace {

constexpr const char* kProgram = "fio";

/// The value at `path` of `json`; 0 if it is not there.
double NumberAt(const nlohmann::json& json, const char* path) {
  const nlohmann::json::json_pointer pointer(path);
  return json.contains(pointer) && json.at(pointer).is_number() ? json.at(pointer).get<double>()
                                                                : 0;
}

}  // namespace

std::vector<std::string> FioCommand(const FioSettings& settings) {
  return {kProgram,
          "--name=ladder",
          "--filename=" + settings.file,
          fmt::format("--size={}", settings.file_bytes),
          "--readonly",
          "--rw=randread",
          fmt::format("--bs={}", settings.block_bytes),
          "--direct=1",
          "--ioengine=io_uring",
          fmt::format("--iodepth={}", settings.batch),
          fmt::format("--iodepth_batch_submit={}", settings.batch),
          fmt::format("--iodepth_batch_complete_min={}", settings.batch),
          "--numjobs=1",
          "--time_based",
          fmt::format("--runtime={}ms", static_cast<int64_t>(1000 * settings.seconds)),
          "--output-format=json"};
}

Result<FioRun> RunFio(const FioSettings& settings) {
  CAIRN_TRY(const std::string output, ChildProcess::Output(FioCommand(settings)));
  // fio may say something before its JSON.
  const size_t begin = output.find('{');
  const auto json = begin == std::string::npos
                        ? nlohmann::json()
                        : nlohmann::json::parse(output.substr(begin), nullptr, false);
  FioRun run;
  run.bytes_per_second = NumberAt(json, "/jobs/0/read/bw_bytes");
  run.p50_ns = NumberAt(json, "/jobs/0/read/clat_ns/percentile/50.000000");
  run.p99_ns = NumberAt(json, "/jobs/0/read/clat_ns/percentile/99.000000");
  run.max_ns = NumberAt(json, "/jobs/0/read/clat_ns/max");
  if (run.bytes_per_second > 0) return run;
  return Fail(Errc::kIo, "fio reported no rate of reading");
}

std::optional<std::string> FioVersion() {
  if (!FindProgram(kProgram)) return std::nullopt;
  auto output = ChildProcess::Output({kProgram, "--version"});
  if (!output) return std::nullopt;
  std::string version = std::move(output).value();
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

}  // namespace cairn
