// HttpServer: a web server for the one user who has its token. It listens on one address, holds
// bounded memory whatever clients do, and gives every request that passes its guard to a handler.
//
// A request is let through if its method is GET or HEAD, or POST where the handler takes that; if
// its Host (and Origin, if it names one) is the server's own, or that of public_url; and if it has
// the token: as the first part of its path, http://HOST:PORT/TOKEN/, or as "Authorization: Bearer
// TOKEN". What is refused never reaches the handler. A server without a token is for everybody on
// its address.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace cairn {

struct HttpLimits {
  size_t head_bytes = 16 << 10;  ///< request line and headers
  size_t body_bytes = 1 << 20;
  std::chrono::milliseconds head_time{10'000};  ///< from a request's first byte to its head's last
  std::chrono::milliseconds body_time{30'000};
  std::chrono::milliseconds write_time{20'000};  ///< without progress; 64 KiB/s at least
  std::chrono::milliseconds idle_time{5'000};    ///< between the requests of a connection
  int connections = 256;                         ///< answered at once, a thread each
  int waiting = 256;    ///< more that wait; the system's queue has the rest
  int requests = 1000;  ///< of one connection
};

struct HttpOptions {
  std::string host = "127.0.0.1";         ///< address to listen on
  int port = 0;                           ///< 0: any that is free
  std::string public_url{};               ///< of a server in front that has encryption, if any
  std::string token{};                    ///< empty: none is needed
  std::vector<std::string> post_paths{};  ///< behind the token; all others are only read
  HttpLimits limits{};
};

struct HttpRequest {
  std::string path;  ///< without the token, decoded; begins with '/'
  bool post = false;
  std::map<std::string, std::string> query;  ///< decoded; the first of equal names
  std::string body;
  /// True once nobody waits for the reply. Valid until the handler, or its stream, returns.
  std::function<bool()> gone;

  /// Of the query; empty if it is not there.
  std::string Query(const std::string& name) const {
    const auto found = query.find(name);
    return found == query.end() ? std::string() : found->second;
  }
};

/// Sends a piece; false if nobody takes it any more.
using HttpWrite = std::function<bool(std::string_view)>;

struct HttpReply {
  int status = 200;
  std::string type = "application/json";
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  /// In place of a body: called once, on the thread of the request, to send pieces.
  std::function<void(const HttpWrite&)> stream{};
  /// Called when the reply is done with, sent or not.
  std::function<void()> finally{};
};

/// Called from several threads at once.
using HttpHandler = std::function<HttpReply(const HttpRequest&)>;

class HttpServer {
 public:
  /// Listens, and answers from threads of its own. kInvalidArgument for an address or port that is
  /// none, kBusy if it cannot be had, kResource if there are too few threads.
  static Result<std::unique_ptr<HttpServer>> Start(HttpOptions options, HttpHandler handler);
  /// Ends what is under way, and waits for it.
  ~HttpServer();

  int port() const;
  /// "http://127.0.0.1:8080/TOKEN/".
  std::string url() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
