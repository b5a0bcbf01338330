// cairn ask: questions to a session, answered from its whole past.
#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "base/tell.h"
#include "tools/answer_certificate.h"
#include "tools/command.h"
#include "tools/conversation.h"
#include "tools/flags.h"
#include "tools/print_json.h"
#include "tools/text_file.h"
#include "tools/tier_report.h"

namespace cairn {
namespace {

class AskCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("ask", "Ask a session a question");
    flags_.AddStore(*command, true);
    flags_.AddModel(*command, false);
    auto* question = command->add_option("QUESTION", question_, "The question");
    command->add_option("--questions", questions_path_, "A file with a question on each line")
        ->type_name("FILE")
        ->excludes(question);
    command->add_option("--max-tokens", max_tokens_, "Longest answer in tokens (default 128)")
        ->type_name("N");
    command->add_flag("--keep", keep_, "Keep questions and answers in the session");
    flags_.AddCertificate(*command);
    flags_.AddRun(*command);
    flags_.AddMetrics(*command);
    return command;
  }

  Status Run() override {
    return flags_.Traced([this] { return RunTraced(); });
  }

 private:
  Status RunTraced() {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(AtLeastOne("--max-tokens", max_tokens_));
    CAIRN_TRY(auto questions, Questions());
    CAIRN_TRY(auto workspace, Workspace::OpenExisting(flags_));
    if (keep_) workspace->session().SettleFirst();
    CAIRN_TRY(auto conversation, Conversation::Open(*workspace));
    const AnswerCertificate certificate(flags_, *workspace, conversation);
    nlohmann::json answers = nlohmann::json::array();
    for (const std::string& question : questions) {
      Sampler greedy;
      CAIRN_TRY(auto answer, conversation.Ask(question, max_tokens_, greedy, [&](auto piece) {
        if (!flags_.json) PrintAnswer(piece);
      }));
      if (!flags_.json) fmt::print("\n");
      std::fflush(stdout);
      answers.push_back({{"question", question},
                         {"answer", answer.text},
                         {"question_tokens", answer.question_tokens},
                         {"answer_tokens", answer.answer_tokens},
                         {"seconds_to_first", answer.seconds_to_first},
                         {"seconds_per_token", answer.seconds_per_token}});
      certificate.Report(answer, flags_.json ? &answers.back() : nullptr);
      CAIRN_TRY(keep_ ? conversation.Keep() : conversation.Forget());
    }
    Report(*workspace, std::move(answers));
    return Ok();
  }

  Result<std::vector<std::string>> Questions() const {
    if (questions_path_.empty()) {
      if (!question_.empty()) return std::vector{question_};
      return Fail(Errc::kInvalidArgument,
                  "no question; write it as \"QUESTION\" or give "
                  "--questions FILE");
    }
    CAIRN_TRY(auto text, ReadText(questions_path_));
    std::vector<std::string> questions;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) questions.push_back(line);
    }
    if (questions.empty()) {
      return Fail(Errc::kInvalidArgument, "{} holds no question", questions_path_);
    }
    return questions;
  }

  void Report(Workspace& workspace, nlohmann::json answers) const {
    const auto tiers = workspace.Tiers();
    if (!flags_.quiet) {
      Tell("{}", TiersTable(tiers, workspace.StoredBytes(), workspace.Steps()));
    }
    if (!flags_.json) return;
    nlohmann::json json = TiersJson(tiers, workspace.StoredBytes(), workspace.Steps());
    json.update(answers.front());
    json["answers"] = std::move(answers);
    json["session"] = flags_.session;
    json["tokens"] = workspace.session().tokens();
    json["kept"] = keep_;
    PrintJson(json);
  }

  Flags flags_;
  std::string question_;
  std::string questions_path_;
  int64_t max_tokens_ = 128;
  bool keep_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeAskCommand() { return std::make_unique<AskCommand>(); }

}  // namespace cairn
