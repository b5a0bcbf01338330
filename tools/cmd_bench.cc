// cairn bench: measurements, one subcommand each.
#include <utility>
#include <vector>

#include "tools/bench_attention.h"
#include "tools/bench_cache.h"
#include "tools/bench_compare.h"
#include "tools/bench_decode.h"
#include "tools/bench_device.h"
#include "tools/bench_ladder.h"
#include "tools/bench_recall.h"
#include "tools/bench_replay.h"
#include "tools/bench_search.h"
#include "tools/bench_storage.h"
#include "tools/command.h"

namespace cairn {
namespace {

class BenchCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("bench", "Measure what this machine gives");
    command->require_subcommand(1);
    for (auto make :
         {MakeAttentionBench, MakeCacheBench, MakeCompareBench, MakeDecodeBench, MakeDeviceBench,
          MakeLadderBench, MakeRecallBench, MakeReplayBench, MakeSearchBench, MakeStorageBench}) {
      auto bench = make();
      CLI::App* added = bench->Add(*command);
      benches_.emplace_back(added, std::move(bench));
    }
    return command;
  }

  Status Run() override {
    for (auto& [added, bench] : benches_) {
      if (added->parsed()) return bench->Run();
    }
    return Ok();
  }

 private:
  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> benches_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace cairn
