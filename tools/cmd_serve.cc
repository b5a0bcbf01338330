// cairn serve: a store in the browser, read only, for the one who has the token.
#include <fmt/core.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "tools/answer_desk.h"
#include "tools/chat_api.h"
#include "tools/command.h"
#include "tools/http_guard.h"
#include "tools/http_server.h"
#include "tools/interrupt.h"
#include "tools/ladder_json.h"
#include "tools/ladder_page.h"
#include "tools/print_json.h"
#include "tools/serve_api.h"

namespace cairn {
namespace {

constexpr std::chrono::milliseconds kLook{50};
constexpr int kLooksToRest = 20;
constexpr int kHeaps = 4;

class ServeCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("serve", "Show a store in the browser, and answer clients");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_option("--port", port_, "To listen on; 0 takes any that is free (default 0)")
        ->type_name("PORT");
    command
        ->add_option("--host", host_,
                     "Address to listen on (default 127.0.0.1: this machine alone)")
        ->type_name("ADDRESS");
    command
        ->add_option("--public-url", public_url_,
                     "What browsers call it by through a server in front that has encryption")
        ->type_name("URL");
    command
        ->add_option(
            "--access-token", token_,
            "What clients must know (default: drawn anew); better set as CAIRN_ACCESS_TOKEN")
        ->type_name("TOKEN");
    AddFiles(*command, "--trace", traces_,
             "A trace that --trace recorded: a map of what it fetched");
    AddFiles(*command, "--recorded", questions_,
             "A document of `cairn why --json`: a recorded question");
    AddFiles(*command, "--report", ladders_, "A ladder of `cairn bench ladder --json`");
    command
        ->add_option("--watch-port", files_.metrics_ports,
                     "The --metrics-port of a command that runs: its counters, live")
        ->type_name("PORT")
        ->allow_extra_args(false);
    flags_.AddModel(*command, false);
    command
        ->add_option("--max-tokens", limits_.default_tokens,
                     "With --model: longest answer unless a client says (default 256)")
        ->type_name("N");
    command
        ->add_option("--max-question", desk_limits_.question_tokens,
                     "With --model: most tokens of a question, all turns (default 8192)")
        ->type_name("N");
    command
        ->add_option("--max-waiting", waiting_,
                     "With --model: questions that may wait for their turn (default 8)")
        ->type_name("N");
    flags_.AddRetrieval(*command);
    flags_.AddMemory(*command);
    flags_.AddMetrics(*command);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    return flags_.Traced([this] { return RunTraced(); });
  }

 private:
  Status RunTraced() {
    CAIRN_TRY(flags_.Apply());
    mallopt(M_ARENA_MAX, kHeaps);  // or each of many threads keeps memory for itself
    for (const auto& [flag, number] : {std::pair("--max-tokens", limits_.default_tokens),
                                       {"--max-question", desk_limits_.question_tokens},
                                       {"--max-waiting", static_cast<int64_t>(waiting_)}}) {
      CAIRN_TRY(AtLeastOne(flag, number));
    }
    if (token_.empty()) {
      CAIRN_TRY(token_, MakeToken());
    }
    CAIRN_TRY(CheckToken(token_));
    CAIRN_TRY(ReadFiles());
    StoreView store(flags_);
    CAIRN_TRY(store.Sessions());  // says what is wrong with the store
    for (const NamedTrace& trace : files_.traces) CAIRN_TRY(store.Check(trace));
    BackgroundCheck check(flags_);
    std::unique_ptr<AnswerDesk> desk;
    std::optional<ChatApi> chat;
    if (!flags_.model.empty()) {
      limits_.most_tokens = std::max(limits_.most_tokens, limits_.default_tokens);
      desk_limits_.waiting = static_cast<size_t>(waiting_);
      desk_limits_.answer_tokens = limits_.most_tokens;
      CAIRN_TRY(desk, AnswerDesk::Open(flags_, desk_limits_));
      chat.emplace(*desk, store, limits_);
    }
    ServeApi api(store, check, files_, flags_.store, chat ? &*chat : nullptr);
    const auto answer = [&](const HttpRequest& request) {
      if (chat.has_value() && request.path.starts_with("/v1/")) return chat->Answer(request);
      return api.Answer(request);
    };
    HttpOptions options{.host = host_,
                        .port = port_,
                        .public_url = public_url_,
                        .token = token_,
                        .post_paths = {"/api/verify"}};
    if (chat.has_value()) options.post_paths.emplace_back("/v1/chat/completions");
    CAIRN_TRY(const auto server, HttpServer::Start(std::move(options), answer));
    Announce(*server);
    for (int looks = 0; !Interrupted(); ++looks) {
      if (looks % kLooksToRest == 0) store.Rest();
      std::this_thread::sleep_for(kLook);
    }
    return Ok();
  }

  static void AddFiles(CLI::App& command, const char* name, std::vector<std::string>& target,
                       const char* help) {
    command.add_option(name, target, fmt::format("{}; may be repeated", help))
        ->type_name("FILE")
        ->allow_extra_args(false);
  }

  Status ReadFiles() {
    for (const std::string& path : traces_) {
      CAIRN_TRY(auto trace, CountFetches(path));
      files_.traces.push_back(std::move(trace));
    }
    for (const std::string& path : questions_) {
      CAIRN_TRY(auto text, ReadWhy(path));
      files_.questions.emplace_back(path, std::move(text));
    }
    for (const std::string& path : ladders_) {
      CAIRN_TRY(const auto ladder, ReadLadder(path));
      files_.ladders.emplace_back(
          path, ladder.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      files_.ladder_pages.emplace_back(path, LadderPage(ladder, LadderPageParts::kBeside));
    }
    for (const int port : files_.metrics_ports) {
      if (port < 1 || port > 65535) {
        return Fail(Errc::kInvalidArgument, "--watch-port {}: use 1 to 65535", port);
      }
    }
    return Ok();
  }

  void Announce(const HttpServer& server) const {
    if (flags_.json) {
      PrintJson(nlohmann::json{{"url", server.url()}, {"port", server.port()}, {"token", token_}});
    } else {
      fmt::print("{}\n", server.url());
    }
    std::fflush(stdout);
  }

  Flags flags_;
  std::string host_ = "127.0.0.1", public_url_, token_;
  int port_ = 0, waiting_ = 8;
  ChatLimits limits_;
  AnswerDeskLimits desk_limits_;
  std::vector<std::string> traces_, questions_, ladders_;
  ServedFiles files_;
};

}  // namespace

std::unique_ptr<Command> MakeServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace cairn
