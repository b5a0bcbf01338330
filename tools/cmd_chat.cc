// cairn chat: a conversation with a session, kept only when asked.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <vector>

#include "tools/command.h"
#include "tools/conversation.h"
#include "tools/interrupt.h"

namespace cairn {
namespace {

constexpr size_t kWhyBlocks = 5;
constexpr size_t kWhyCharacters = 160;

class ChatCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("chat", "Talk with a session (/keep, /why, /quit)");
    flags_.AddStore(*command, true);
    flags_.AddModel(*command, false);
    command->add_option("--max-tokens", max_tokens_, "Longest answer in tokens (default 256)")
        ->type_name("N");
    flags_.AddShape(*command);
    flags_.AddRetrieval(*command);
    flags_.AddTrace(*command);
    flags_.AddMemory(*command);
    flags_.AddOutput(*command);
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
    CAIRN_TRY(auto conversation, Conversation::Open(*workspace));
    const bool prompt = isatty(STDIN_FILENO) != 0 && !flags_.quiet;
    for (std::string line;;) {
      if (prompt) fmt::print(stderr, "> ");
      if (Interrupted() || !std::getline(std::cin, line) || line == "/quit") break;
      if (line.empty()) continue;
      if (line == "/why") {
        CAIRN_TRY(Why(*workspace, conversation));
      } else if (line == "/keep") {
        CAIRN_TRY(conversation.Keep());
        fmt::print(stderr, "kept; the session has {} tokens\n", workspace->session().tokens());
      } else if (line.front() == '/') {
        fmt::print(stderr, "{} is not known; there are /keep, /why and /quit\n", line);
      } else {
        CAIRN_TRY(Answer(conversation, line));
      }
    }
    return Ok();
  }

  Status Answer(Conversation& conversation, const std::string& question) const {
    Sampler greedy;
    CAIRN_TRY(conversation.Ask(question, max_tokens_, greedy, [](std::string_view piece) {
      fmt::print("{}", piece);
      std::fflush(stdout);
    }));
    fmt::print("\n");
    return Ok();
  }

  /// The blocks chosen most often for the last answer, with the text they hold.
  Status Why(Workspace& workspace, const Conversation& conversation) const {
    std::vector<std::pair<int64_t, int64_t>> counts;  // (times, block)
    for (const auto& [block, times] : conversation.chosen_blocks())
      counts.push_back({times, block});
    std::sort(counts.rbegin(), counts.rend());
    counts.resize(std::min(counts.size(), kWhyBlocks));
    if (counts.empty()) fmt::print(stderr, "nothing was chosen yet\n");
    const Session& session = workspace.session();
    CAIRN_TRY(auto tokens, workspace.engine().catalog().ReadTokens(session.record()));
    const int64_t block_tokens = workspace.profile().block_tokens;
    for (const auto& [times, block] : counts) {
      std::string text;
      const int64_t begin = block * block_tokens;
      const int64_t end = std::min<int64_t>(begin + block_tokens, std::ssize(tokens));
      for (int64_t i = begin; i < end; ++i) text += workspace.model().tokenizer().Decode(tokens[i]);
      std::replace(text.begin(), text.end(), '\n', ' ');
      fmt::print(stderr, "block {} (tokens {} to {}), chosen {} times: {}\n", block, begin,
                 begin + block_tokens - 1, times,
                 text.empty() ? "(of this conversation)" : text.substr(0, kWhyCharacters));
    }
    return Ok();
  }

  Flags flags_;
  int64_t max_tokens_ = 256;
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace cairn
