#include "tools/bench_ladder.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "base/new_file.h"
#include "base/progress.h"
#include "bench/ladder.h"
#include "bench/ladder_tiers.h"
#include "bench/machine.h"
#include "storage/access_trace.h"
#include "tools/bench_directory.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/ladder_compare.h"
#include "tools/ladder_json.h"
#include "tools/ladder_page.h"
#include "tools/ladder_text.h"
#include "tools/miss_curve.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

constexpr uint32_t kZipfBlocks = 1 << 14;
constexpr size_t kZipfDraws = 1 << 17, kZipfBatch = 64;

/// How this process was called.
std::string CommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  std::string line = std::move(bytes).str();
  while (!line.empty() && line.back() == '\0') line.pop_back();
  for (char& c : line) c = c == '\0' ? ' ' : c;
  return line;
}

/// Rates of the open loops of a ladder, by point.
Result<std::map<std::string, double>> RatesOf(const std::string& path) {
  CAIRN_TRY(const nlohmann::json ladder, ReadLadder(path));
  std::map<std::string, double> rates;
  for (const nlohmann::json& point : ladder.at("points")) {
    const double rate = OpenRate(point);
    if (rate > 0) rates[point.value("name", "")] = rate;
  }
  return rates;
}

/// The accesses of the ladder's Zipf mix, for a curve where no trace is given.
AccessLog ZipfLog() {
  AccessLog log;
  for (const uint32_t rank : ZipfDraws(kZipfBlocks, 0.99, kZipfDraws, 1)) {
    if (log.ids.size() % kZipfBatch == 0) {
      log.events.push_back({AccessKind::kFetch, log.ids.size(), kZipfBatch});
    }
    log.ids.push_back({.extent = 1, .ordinal = rank});
  }
  return log;
}

class LadderBench final : public Command {
 public:
  CLI::App* Add(CLI::App& bench) override;
  Status Run() override;

 private:
  Result<LadderOptions> Options() const;
  Result<nlohmann::json> MissCurves() const;
  Status Write(const LadderResult& result, const LadderOptions& options) const;

  Flags flags_;
  std::vector<std::string> sizes_, traces_;
  std::vector<uint32_t> batches_;
  std::vector<int> readers_;
  std::string size_ = "256MiB", device_ = "cpu", csv_, html_, google_, rates_;
  int turn_ms_ = 150, repetitions_ = 5, fio_ms_ = 1000;
  bool full_ = false, no_peers_ = false;
};

CLI::App* LadderBench::Add(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "ladder", "Latency of each step of a retrieval, from memory to SSD, beside other programs");
  const auto list = [&](const char* name, auto& values, const char* help, const char* type) {
    command->add_option(name, values, help)
        ->type_name(type)
        ->delimiter(',')
        ->allow_extra_args(false);
  };
  command->add_option("--store", flags_.store, "A new or empty directory, on the disk to measure")
      ->required()
      ->type_name("DIR");
  command->add_flag("--full", full_, "Every combination of sizes, batches and readers");
  list("--block-size", sizes_, "Block sizes (4KiB,8KiB,16KiB,32KiB,64KiB,128KiB)",
       "SIZE[,SIZE...]");
  list("--batch", batches_, "Blocks fetched at once (1,4,16,64,256)", "N[,N...]");
  list("--readers", readers_, "Fetches in flight (1,2,4,8)", "N[,N...]");
  command->add_option("--size", size_, "Blocks in the store, of each block size (256MiB)")
      ->type_name("SIZE");
  command->add_option("--turn-ms", turn_ms_, "How long a point is measured at a time (150)")
      ->type_name("N");
  command->add_option("--repetitions", repetitions_, "Turns of each point (5)")->type_name("N");
  command->add_option("--fio-ms", fio_ms_, "How long fio runs at a time (1000)")->type_name("N");
  command->add_flag("--no-peers", no_peers_, "No other programs beside");
  command->add_option("--trace", traces_, "For the miss-ratio curve; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      ->add_option("--rates", rates_, "Open loops at the rates of this ladder, to compare with it")
      ->type_name("LADDER.json");
  command->add_option("--device", device_, "A GPU that has rungs too: cuda:N (default: none)")
      ->type_name("NAME");
  command->add_option("--csv", csv_, "Write the points as a table")->type_name("FILE");
  command->add_option("--html", html_, "Write a page with plots")->type_name("FILE");
  command->add_option("--google-benchmark", google_, "Write JSON as Google Benchmark has it")
      ->type_name("FILE");
  flags_.AddOutput(*command);
  return command;
}

Result<LadderOptions> LadderBench::Options() const {
  CAIRN_TRY(AtLeastOne("--turn-ms", turn_ms_));
  CAIRN_TRY(AtLeastOne("--fio-ms", fio_ms_));
  CAIRN_TRY(AtLeastOne("--repetitions", repetitions_));
  LadderOptions options;
  if (!sizes_.empty()) options.block_bytes.clear();
  for (const std::string& size : sizes_) {
    CAIRN_TRY(const uint64_t bytes, ParseByteSize(size));
    options.block_bytes.push_back(bytes);
  }
  if (!batches_.empty()) options.batches = batches_;
  if (!readers_.empty()) options.readers = readers_;
  CAIRN_TRY(options.store_bytes, ParseByteSize(size_));
  options.full = full_;
  options.peers = !no_peers_;
  options.turn_seconds = 1e-3 * turn_ms_;
  options.fio_seconds = 1e-3 * fio_ms_;
  options.repetitions = repetitions_;
  CAIRN_TRY(options.Validate());
  if (!rates_.empty()) {
    CAIRN_TRY(options.rates, RatesOf(rates_));
  }
  return options;
}

Result<nlohmann::json> LadderBench::MissCurves() const {
  nlohmann::json curves = nlohmann::json::array();
  if (traces_.empty()) {
    curves.push_back(MissCurveJson("the ladder's Zipf mix", CacheReplay(ZipfLog())));
  }
  for (const std::string& path : traces_) {
    CAIRN_TRY(const AccessLog log, ReadAccessLog(path));
    curves.push_back(MissCurveJson(path, CacheReplay(log)));
  }
  return curves;
}

Status LadderBench::Write(const LadderResult& result, const LadderOptions& options) const {
  const Machine machine = Machine::Describe(flags_.store);
  nlohmann::json ladder = LadderJson(result, options, machine, CommandLine());
  CAIRN_TRY(ladder["miss_curves"], MissCurves());
  if (!csv_.empty()) CAIRN_TRY(WriteNewFile(csv_, LadderCsv(ladder)));
  if (!html_.empty()) CAIRN_TRY(WriteNewFile(html_, LadderPage(ladder)));
  if (!google_.empty()) {
    CAIRN_TRY(WriteNewFile(google_, GoogleBenchmarkJson(result, machine).dump(1) + "\n"));
  }
  if (flags_.json) {
    PrintJson(ladder);
  } else {
    fmt::print("{}", LadderText(ladder));
  }
  return Ok();
}

Status LadderBench::Run() {
  CAIRN_TRY(flags_.Apply());
  CAIRN_TRY(LadderOptions options, Options());
  for (const std::string& path : {csv_, html_, google_}) {
    CAIRN_TRY(NewFile::Check(path));
  }
  for (const std::string& path : traces_) CAIRN_TRY(ReadAccessLog(path));
  CAIRN_TRY(const BenchDirectory directory,
            BenchDirectory::Open(flags_.store, options.NeededBytes()));
  options.directory = directory.path();
  std::unique_ptr<Device> device;
  CAIRN_TRY(const auto number, ParseDevice(device_));
  if (number.has_value()) {
    CAIRN_TRY(device, Device::Open(*number));
    options.device = device.get();
  }
  Progress progress(flags_.quiet);
  CAIRN_TRY(const LadderResult result, RunLadder(options, [&](const std::string& what) {
              progress.Show(what);
              return Interrupted();
            }));
  progress.Finish();
  return Write(result, options);
}

}  // namespace

std::unique_ptr<Command> MakeLadderBench() { return std::make_unique<LadderBench>(); }

}  // namespace cairn
