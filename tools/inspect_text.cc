// cairn inspect text: what a session has read, as text.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/plain_text.h"
#include "tools/inspectors.h"
#include "tools/print_json.h"
#include "tools/stored_session.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

class TextInspector final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("text", "The text of tokens or of a block");
    flags_.AddStore(*command, true);
    auto* range =
        command->add_option("--range", range_, "Tokens from A on and before B")->type_name("A:B");
    command->add_option("--block", block_, "A block of the session, from 0")
        ->type_name("N")
        ->excludes(range);
    flags_.AddModel(*command, false);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(const auto session, StoredSession::Find(catalog, flags_.session));
    CAIRN_TRY(const StoredText stored, StoredText::Open(flags_, session));
    CAIRN_TRY(const SessionText text, stored.Of(catalog, session));
    NumberRange range{0, text.size()};
    if (!range_.empty()) {
      CAIRN_TRY(range, ParseRange("--range", range_, text.size()));
    }
    if (block_.has_value()) {
      const int64_t blocks = (text.size() + text.block_tokens() - 1) / text.block_tokens();
      if (*block_ < 0 || *block_ >= blocks) {
        return Fail(Errc::kInvalidArgument, "--block {}: session '{}' has {} blocks; use 0 to {}",
                    *block_, session.record.name, blocks, std::max<int64_t>(0, blocks - 1));
      }
      range = {text.Begin(*block_), text.End(*block_)};
    }
    Print(text, range);
    return Ok();
  }

 private:
  void Print(const SessionText& text, const NumberRange& range) const {
    const std::string shown = text.Text(range.first, range.end);
    if (flags_.json) {
      const nlohmann::json json{{"session", flags_.session},
                                {"tokens", {range.first, range.end}},
                                {"blocks",
                                 {range.first / text.block_tokens(),
                                  (range.end + text.block_tokens() - 1) / text.block_tokens()}},
                                {"text", shown}};
      PrintJson(json);
    } else if (IsTerminal(STDOUT_FILENO)) {
      fmt::print("{}\n", ForTerminal(shown, Lines::kKeep));
    } else {
      std::fwrite(shown.data(), 1, shown.size(), stdout);
    }
  }

  Flags flags_;
  std::string range_;
  std::optional<int64_t> block_;
};

}  // namespace

std::unique_ptr<Command> MakeTextInspector() { return std::make_unique<TextInspector>(); }

}  // namespace cairn
