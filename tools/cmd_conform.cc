// cairn conform: attention cases with known answers through the engine.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/plain_text.h"
#include "tools/command.h"
#include "tools/conform_case.h"
#include "tools/flags.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

constexpr double kTolerance = 1e-5;

class ConformCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("conform", "Run attention cases through the engine, in f32");
    command->add_option("CASES", path_, "Conformance file (JSON)")->required();
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    ConformInput input;
    std::vector<ConformCase> cases;
    CAIRN_TRY(ReadConformFile(path_, &input, &cases));
    nlohmann::json list = nlohmann::json::array();
    int failed = 0;
    for (const ConformCase& test : cases) {
      CAIRN_TRY(auto result, RunConformCase(input, test));
      const bool passed = result.max_error <= kTolerance && result.selected_match;
      failed += passed ? 0 : 1;
      nlohmann::json entry{{"case", result.name},
                           {"max_error", result.max_error},
                           {"blocks", result.blocks},
                           {"passed", passed}};
      if (result.compares_blocks) entry["selected_match"] = result.selected_match;
      list.push_back(std::move(entry));
      if (flags_.json) continue;
      fmt::print("{:<40} largest error {:.2e}  chosen blocks {}\n", ForTerminal(result.name),
                 result.max_error,
                 !result.compares_blocks ? "not compared"
                 : result.selected_match ? "equal"
                                         : "DIFFER");
    }
    if (flags_.json) {
      PrintJson(nlohmann::json{{"cases", list}, {"tolerance", kTolerance}, {"failed", failed}});
    }
    if (failed == 0) return Ok();
    return Fail(Errc::kMismatch, "{} of {} cases differ by more than {} or chose other blocks",
                failed, cases.size(), kTolerance);
  }

 private:
  Flags flags_;
  std::string path_;
};

}  // namespace

std::unique_ptr<Command> MakeConformCommand() { return std::make_unique<ConformCommand>(); }

}  // namespace cairn
