// cairn serve: a store in the browser, read only, for the one who has the token.
#include <fmt/core.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

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
        ->add_option("--token", token_,
                     "What clients must know (default: drawn anew); better set as CAIRN_TOKEN")
        ->type_name("TOKEN");
    AddFiles(*command, "--trace", traces_,
             "A trace that --trace recorded: a map of what it fetched");
    AddFiles(*command, "--why", questions_,
             "A document of `cairn why --json`: a recorded question");
    AddFiles(*command, "--report", ladders_, "A ladder of `cairn bench ladder --json`");
    command
        ->add_option("--watch-port", files_.metrics_ports,
                     "The --metrics-port of a command that runs: its counters, live")
        ->type_name("PORT")
        ->allow_extra_args(false);
    flags_.AddModel(*command, false);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (token_.empty()) {
      CAIRN_TRY(token_, MakeToken());
    }
    CAIRN_TRY(CheckToken(token_));
    CAIRN_TRY(ReadFiles());
    StoreView store(flags_);
    CAIRN_TRY(store.Sessions());  // says what is wrong with the store
    BackgroundCheck check(flags_);
    const std::string name = std::filesystem::path(flags_.store).string();
    ServeApi api(store, check, files_, name, false);
    CAIRN_TRY(const auto server,
              HttpServer::Start({.host = host_,
                                 .port = port_,
                                 .token = token_,
                                 .post_paths = {"/api/verify"},
                                 .limits = {}},
                                [&](const HttpRequest& request) { return api.Answer(request); }));
    Announce(*server);
    for (int looks = 0; !Interrupted(); ++looks) {
      if (looks % kLooksToRest == 0) store.Rest();
      std::this_thread::sleep_for(kLook);
    }
    return Ok();
  }

 private:
  static void AddFiles(CLI::App& command, const char* name, std::vector<std::string>& target,
                       const char* help) {
    command.add_option(name, target, fmt::format("{}; may be repeated", help))
        ->type_name("FILE")
        ->allow_extra_args(false);
  }

  Status ReadFiles() {
    for (const std::string& path : traces_) {
      CAIRN_TRY(auto counts, CountFetches(path));
      files_.traces.push_back({path, std::move(counts)});
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
  std::string host_ = "127.0.0.1", token_;
  int port_ = 0;
  std::vector<std::string> traces_, questions_, ladders_;
  ServedFiles files_;
};

}  // namespace

std::unique_ptr<Command> MakeServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace cairn
