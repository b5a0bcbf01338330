// BenchStorage: `cairn bench storage`, how close a store comes to the disk it is on.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/cold_bench.h"
#include "bench/open_bench.h"
#include "tools/flags.h"

namespace cairn {

class BenchStorage {
 public:
  /// Declares the subcommand of `bench`.
  CLI::App* Add(CLI::App& bench);
  Status Run();

 private:
  Status Report(const std::vector<ColdBenchResult>& cold, const OpenBenchResult& open) const;

  Flags flags_;
  std::optional<std::string> size_;
  std::optional<int64_t> tokens_;
  int turn_ms_ = 700;
  bool full_ = false;
  bool all_ways_ = false;
};

}  // namespace cairn
