#include "tools/bench_search.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/new_file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "bench/flat_faiss.h"
#include "bench/search_bench.h"
#include "index/tile_dots.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

constexpr int64_t kThousand = 1024;

/// "AMD EPYC, family 25 model 17" as /proc/cpuinfo has it.
std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  std::string name, family, model, line;
  while (std::getline(file, line) && !line.empty()) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name")) name = value;
    if (line.starts_with("cpu family")) family = value;
    if (line.starts_with("model\t")) model = value;
  }
  return fmt::format("{}, family {} model {}", name, family, model);
}

nlohmann::json ToJson(const SearchRow& row) {
  nlohmann::json json{{"index", row.index},
                      {"vectors", row.count},
                      {"dim", row.dim},
                      {"rows", row.rows},
                      {"k", row.k},
                      {"partitions", row.partitions},
                      {"recorded", row.recorded},
                      {"ms", row.milliseconds},
                      {"recall", row.recall},
                      {"lse_error", row.lse_error},
                      {"bytes_per_vector", row.bytes_per_vector},
                      {"add_us", row.add_microseconds}};
  if (row.faiss_ms > 0) {
    json["faiss_ms"] = row.faiss_ms;
    json["faiss_best_ms"] = row.faiss_blas_ms;
    json["faiss_ratio"] = row.faiss_ms / row.milliseconds;
    json["faiss_best_ratio"] = row.faiss_blas_ms / row.milliseconds;
  }
  if (row.many_ms > 0) json["many_ms"] = row.many_ms;
  return json;
}

class SearchBench final : public Command {
 public:
  CLI::App* Add(CLI::App& bench) override;
  Status Run() override;

 private:
  nlohmann::json Report(const std::vector<SearchRow>& rows) const;
  static void Print(const std::vector<SearchRow>& rows);

  Flags flags_;
  SearchBenchOptions options_;
  std::vector<int64_t> counts_{16, 64, 128, 1024};
  std::vector<int32_t> dims_{64, 128};
  std::vector<std::string> kinds_{"exact", "int8"};
  std::string recording_, out_;
  bool without_faiss_ = false;
};

CLI::App* SearchBench::Add(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "search", "A search for one query group, on one core, beside FAISS in the same run");
  command->add_option("--vectors", counts_, "Vectors of a partition, in 1,024 (16,64,128,1024)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--dims", dims_, "Dimensions (64,128)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--kinds", kinds_, "Kinds of index, as for --index (exact,int8)")
      ->type_name("KIND[,KIND...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--rows", options_.rows, "Rows of a query group, if drawn (3)")
      ->type_name("N");
  command->add_option("--retrieve", options_.k, "Blocks chosen (16)")->type_name("K");
  command->add_option("--turns", options_.turns, "Searches of each side; the median counts (15)")
      ->type_name("N");
  command
      ->add_option("--group-rows", options_.many_rows,
                   "Also a group of so many tokens, as reading makes it (0: none)")
      ->type_name("N");
  command
      ->add_option("--recording", recording_,
                   "Keys and queries of this file (cairn bench recall --record) instead of drawn")
      ->type_name("FILE");
  command->add_option("--out", out_, "Also write the JSON to this file")->type_name("FILE");
  command->add_flag("--without-faiss", without_faiss_, "Measure our own only");
  flags_.AddOutput(*command);
  return command;
}

Status SearchBench::Run() {
  CAIRN_TRY(flags_.Apply());
  CAIRN_TRY(NewFile::Check(out_));
  SetThreads(1);
  for (const int64_t count : counts_) {
    CAIRN_TRY(AtLeastOne("--vectors", count));
    options_.counts.push_back(count * kThousand);
  }
  CAIRN_TRY(AtLeastOne("--retrieve", options_.k));
  CAIRN_TRY(AtLeastOne("--rows", options_.rows));
  CAIRN_TRY(AtLeastOne("--turns", options_.turns));
  for (const int32_t dim : dims_) CAIRN_TRY(AtLeastOne("--dims", dim));
  options_.dims = dims_;
  options_.faiss = !without_faiss_;
  for (const std::string& name : kinds_) {
    CAIRN_TRY(const IndexKind kind, ParseIndexKind(name));
    options_.kinds.push_back(kind);
  }
  std::optional<Recording> recording;
  if (!recording_.empty()) {
    CAIRN_TRY(recording, Recording::Load(recording_));
    options_.recording = &*recording;
  }
  Progress progress(flags_.quiet);
  CAIRN_TRY(const auto rows, RunSearchBench(options_, [&](const std::string& what) {
              progress.Show(what);
              return Interrupted();
            }));
  progress.Finish();
  const nlohmann::json report = Report(rows);
  if (!out_.empty()) CAIRN_TRY(WriteNewFile(out_, report.dump(1) + "\n"));
  if (flags_.json) {
    PrintJson(report);
  } else {
    Print(rows);
  }
  return Ok();
}

nlohmann::json SearchBench::Report(const std::vector<SearchRow>& rows) const {
  nlohmann::json list = nlohmann::json::array();
  nlohmann::json growth = nlohmann::json::array();
  for (const SearchRow& row : rows) {
    list.push_back(ToJson(row));
    for (const SearchRow& small : rows) {
      if (small.index != row.index || small.dim != row.dim || small.count * 8 != row.count)
        continue;
      growth.push_back({{"index", row.index},
                        {"dim", row.dim},
                        {"from", small.count},
                        {"to", row.count},
                        {"exponent", GrowthExponent(small, row)}});
    }
  }
  return {{"date", fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)))},
          {"cpu", CpuName()},
          {"cores", 1},
          {"clock", "CPU time of the thread"},
          {"turns", options_.turns},
          {"dots", TileDotsTargets().front().name},
          {"blas_core", FlatFaiss::BlasCore()},
          {"data", recording_.empty() ? "drawn" : options_.recording->text},
          {"rows", std::move(list)},
          {"growth", std::move(growth)}};
}

void SearchBench::Print(const std::vector<SearchRow>& rows) {
  fmt::print("one query group on one core, {}; products of codes by {}; OpenBLAS core {}\n",
             CpuName(), TileDotsTargets().front().name, FlatFaiss::BlasCore());
  fmt::print("{:>9} {:>4} {:>8} {:>9} {:>9} {:>9} {:>7} {:>7} {:>7} {:>9} {:>8} {:>7} {:>9}\n",
             "vectors", "D", "index", "ms", "FAISS ms", "BLAS ms", "ratio", "BLAS", "recall",
             "lse error", "bytes", "add us", "many ms");
  for (const SearchRow& row : rows) {
    fmt::print(
        "{:>9} {:>4} {:>8} {:>9.3f} {:>9.3f} {:>9.3f} {:>7.1f} {:>7.1f} {:>7.4f} {:>9.5f} {:>8.1f} "
        "{:>7.2f} {:>9.2f}\n",
        row.count, row.dim, row.index, row.milliseconds, row.faiss_ms, row.faiss_blas_ms,
        row.faiss_ms / row.milliseconds, row.faiss_blas_ms / row.milliseconds, row.recall,
        row.lse_error, row.bytes_per_vector, row.add_microseconds, row.many_ms);
  }
}

}  // namespace

std::unique_ptr<Command> MakeSearchBench() { return std::make_unique<SearchBench>(); }

}  // namespace cairn
