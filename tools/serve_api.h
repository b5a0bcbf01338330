// ServeApi: what `cairn serve` answers below its token: the inspector's page and its parts, and the
// documents it shows. docs/cli.md lists them.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/background_check.h"
#include "tools/http_server.h"
#include "tools/store_view.h"

namespace cairn {

/// What the command line gives to look at, beside the store.
struct ServedFiles {
  using List = std::vector<std::pair<std::string, std::string>>;  ///< path, what is served

  std::vector<NamedTrace> traces;
  List questions;                  ///< documents of `cairn why --json`
  List ladders, ladder_pages;      ///< documents of `cairn bench ladder --json`, and their pages
  std::vector<int> metrics_ports;  ///< of other processes here
};

/// kInvalidArgument naming the file if it holds no document of `cairn why --json`.
Result<std::string> ReadWhy(const std::string& path);

/// A reply that is a document; bytes that are no UTF-8 become U+FFFD.
HttpReply JsonReply(const nlohmann::json& document, int status = 200);
/// An error as the OpenAI API shapes it, with the status that fits.
HttpReply ErrorReply(const Error& error);

class ChatApi;

class ServeApi {
 public:
  /// All must outlive it. `chat` is null where nothing is answered.
  ServeApi(StoreView& store, BackgroundCheck& check, const ServedFiles& files, std::string name,
           const ChatApi* chat)
      : store_(store), check_(check), files_(files), name_(std::move(name)), chat_(chat) {}

  /// Whatever is not below /v1.
  HttpReply Answer(const HttpRequest& request);

 private:
  HttpReply Document(const HttpRequest& request);
  nlohmann::json About() const;
  HttpReply Fetches(const HttpRequest& request);
  HttpReply Text(const HttpRequest& request);
  HttpReply Recorded(const HttpRequest& request) const;
  HttpReply Verify(const HttpRequest& request);
  HttpReply Metrics(const HttpRequest& request) const;

  StoreView& store_;
  BackgroundCheck& check_;
  const ServedFiles& files_;
  const std::string name_;
  const ChatApi* const chat_;
};

}  // namespace cairn
