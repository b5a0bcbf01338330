// cairn chat: a conversation with a session, kept only when asked.
#include <fmt/core.h>
#include <unistd.h>

#include <optional>

#include "base/plain_text.h"
#include "base/tell.h"
#include "tools/answer_certificate.h"
#include "tools/answer_sources.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/text_file.h"

namespace cairn {
namespace {

constexpr size_t kWhyPassages = 3;

class ChatCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("chat", "Talk with a session (/keep, /why, /quit)");
    flags_.AddStore(*command, true);
    flags_.AddModel(*command, false);
    command->add_option("--max-tokens", max_tokens_, "Longest answer in tokens (default 256)")
        ->type_name("N");
    flags_.AddCertificate(*command);
    flags_.AddRun(*command);
    command->remove_option(command->get_option("--json"));  // it is a conversation in text
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
    CAIRN_TRY(auto workspace, Workspace::OpenExisting(flags_));
    workspace->session().SettleFirst();  // what is said may be kept
    CAIRN_TRY(auto conversation, Conversation::Open(*workspace));
    const AnswerCertificate certificate(flags_, *workspace, conversation);
    const bool prompt = isatty(STDIN_FILENO) != 0 && !flags_.quiet;
    InputLines lines;
    for (std::string line;;) {
      if (prompt) Tell("> ");
      CAIRN_TRY(const bool more, lines.Next(&line));
      if (!more || line == "/quit") break;
      if (line.empty()) continue;
      if (line == "/why") {
        CAIRN_TRY(Why(*workspace));
      } else if (line == "/keep") {
        CAIRN_TRY(conversation.Keep());
        Tell("kept; the session has {} tokens\n", workspace->session().tokens());
      } else if (line.front() == '/') {
        Tell("{} is not known; there are /keep, /why and /quit\n", ForTerminal(line));
      } else {
        CAIRN_TRY(Answer(*workspace, conversation, line));
        certificate.Report(sources_->answer, nullptr);
      }
    }
    return Ok();
  }

  Status Answer(Workspace& workspace, Conversation& conversation, const std::string& question) {
    CAIRN_TRY(sources_, AskForSources(workspace, conversation, question, max_tokens_,
                                      [](std::string_view piece) { PrintAnswer(piece); }));
    fmt::print("\n");
    return Ok();
  }

  /// What the last answer was read from.
  Status Why(Workspace& workspace) const {
    if (!sources_.has_value()) {
      Tell("nothing was asked yet\n");
      return Ok();
    }
    CAIRN_TRY(const SessionText text, TextOf(workspace));
    Tell("{}", DescribePassages(*sources_, text, kWhyPassages));
    return Ok();
  }

  Flags flags_;
  int64_t max_tokens_ = 256;
  std::optional<AnswerSources> sources_;  // of the last answer
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace cairn
