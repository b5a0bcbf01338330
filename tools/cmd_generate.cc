// cairn generate: continue a prompt as plain text, with or without a session's past.
#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/answer_certificate.h"
#include "tools/command.h"
#include "tools/conversation.h"
#include "tools/flags.h"
#include "tools/print_json.h"
#include "tools/tier_report.h"

namespace cairn {
namespace {

class GenerateCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("generate", "Continue a prompt");
    flags_.AddStore(*command, false);
    flags_.AddModel(*command, false);
    command->add_option("--prompt", prompt_, "Text to go on from")->required()->type_name("TEXT");
    command->add_option("--max-tokens", max_tokens_, "Tokens to make (default 128)")
        ->type_name("N");
    command->add_option("--temperature", temperature_, "0 takes the likeliest token (default 0)")
        ->type_name("T");
    command->add_option("--seed", seed_, "Of the draw, with a temperature (default 0)")
        ->type_name("S");
    flags_.AddCertificate(*command);
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
    if (!(temperature_ >= 0) || temperature_ > 100) {
      return Fail(Errc::kInvalidArgument, "--temperature {}: use 0 to 100", temperature_);
    }
    const bool from_nothing = flags_.session.empty();  // a --store may be set for all commands
    if (from_nothing ? flags_.model.empty() : flags_.store.empty()) {
      return Fail(Errc::kInvalidArgument, "give --store and --session, or --model");
    }
    CAIRN_TRY(auto workspace,
              from_nothing ? Workspace::InMemory(flags_) : Workspace::OpenExisting(flags_));
    CAIRN_TRY(auto conversation, Conversation::OpenPlain(*workspace));
    const AnswerCertificate certificate(flags_, *workspace, conversation);
    Sampler sampler(temperature_, seed_);
    CAIRN_TRY(auto answer, conversation.Ask(prompt_, max_tokens_, sampler, [&](auto piece) {
      if (!flags_.json) PrintAnswer(piece);
    }));
    if (!flags_.json) {
      fmt::print("\n");
      certificate.Report(answer, nullptr);
      return Ok();
    }
    nlohmann::json json =
        TiersJson(workspace->Tiers(), workspace->StoredBytes(), workspace->Steps());
    json["text"] = answer.text;
    json["prompt_tokens"] = answer.question_tokens;
    json["tokens"] = answer.answer_tokens;
    json["seconds_per_token"] = answer.seconds_per_token;
    certificate.Report(answer, &json);
    PrintJson(json);
    return Ok();
  }

  Flags flags_;
  std::string prompt_;
  int64_t max_tokens_ = 128;
  float temperature_ = 0;
  uint64_t seed_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeGenerateCommand() { return std::make_unique<GenerateCommand>(); }

}  // namespace cairn
