// cairn why: a question, its answer, and what of the session the answer was read from.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/new_file.h"
#include "tools/answer_sources.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/print_json.h"
#include "tools/tier_report.h"
#include "tools/why_json.h"
#include "tools/why_page.h"

namespace cairn {
namespace {

class WhyCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("why", "Ask a session, and see what the answer was read from");
    flags_.AddStore(*command, true);
    flags_.AddModel(*command, false);
    command->add_option("QUESTION", question_, "The question")->required();
    command->add_option("--max-tokens", max_tokens_, "Longest answer in tokens (default 128)")
        ->type_name("N");
    command->add_option("--passages", passages_, "Passages to show (default 3)")->type_name("N");
    command
        ->add_option("--token", token_,
                     "Of the answer, from 0: what was read for this one, by layer and head")
        ->type_name("T");
    command
        ->add_option("--against", against_,
                     "dense: tell what attention over the whole past would have used too")
        ->type_name("WHAT");
    command->add_option("--html", html_path_, "Write a page with a map of what was read")
        ->type_name("FILE");
    flags_.AddRun(*command);
    return command;
  }

  Status Run() override {
    return flags_.Traced([this] { return RunTraced(); });
  }

 private:
  Status RunTraced() {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(AtLeastOne("--max-tokens", max_tokens_));
    CAIRN_TRY(AtLeastOne("--passages", passages_));
    CAIRN_TRY(NewFile::Check(html_path_));
    if (!against_.empty() && against_ != "dense") {
      return Fail(Errc::kInvalidArgument, "--against {}: use dense", against_);
    }
    CAIRN_TRY(auto workspace, Workspace::OpenExisting(flags_));
    if (!against_.empty()) CAIRN_TRY(CheckDenseLength(*workspace));
    CAIRN_TRY(auto conversation, Conversation::Open(*workspace));
    CAIRN_TRY(auto sources, AskForSources(*workspace, conversation, question_, max_tokens_,
                                          [&](std::string_view piece) {
                                            if (!flags_.json) PrintAnswer(piece);
                                          }));
    if (!flags_.json) fmt::print("\n");
    if (token_.has_value()) CAIRN_TRY(sources.RankFor(*token_));
    CAIRN_TRY(const SessionText text, TextOf(*workspace));
    CAIRN_TRY(conversation.Forget());
    std::optional<AgainstDense> dense;
    if (!against_.empty()) {
      CAIRN_TRY(dense, CompareWithDense(*workspace, sources, text));
    }
    return Report(*workspace, sources, text, dense);
  }

  Status Report(Workspace& workspace, const AnswerSources& sources, const SessionText& text,
                const std::optional<AgainstDense>& dense) const {
    const auto count = static_cast<size_t>(passages_);
    if (!html_path_.empty()) {
      CAIRN_TRY(WriteNewFile(html_path_, WhyPage(flags_.session, sources, text, count)));
    }
    if (!flags_.json) {
      fmt::print("\n{}", DescribePassages(sources, text, count));
      if (token_.has_value()) fmt::print("\n{}", DescribeToken(sources, *token_));
      if (dense.has_value()) fmt::print("\n{}", DescribeDense(*dense, text, count));
      return Ok();
    }
    nlohmann::json json = TiersJson(workspace.Tiers(), workspace.StoredBytes(), workspace.Steps());
    json.update(WhyJson(sources, text, count, token_));
    if (dense.has_value()) AddDense(*dense, text, &json);
    json["session"] = flags_.session;
    json["tokens"] = workspace.session().tokens();
    PrintJson(json);
    return Ok();
  }

  Flags flags_;
  std::string question_;
  int64_t max_tokens_ = 128;
  int64_t passages_ = 3;
  std::string html_path_, against_;
  std::optional<int64_t> token_;
};

}  // namespace

std::unique_ptr<Command> MakeWhyCommand() { return std::make_unique<WhyCommand>(); }

}  // namespace cairn
