#include "tools/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "tools/http_connection.h"
#include "tools/http_guard.h"

namespace cairn {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr std::chrono::milliseconds kPause{10};  // before connections are taken again

/// The connection that a thread of the server works for.
thread_local HttpConnection* connection_of_thread = nullptr;

/// kResource if the system has no thread left.
Result<std::thread> StartThread(std::function<void()> work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& error) {
    return Fail(Errc::kResource,
                "no thread can be had for connections: {}; the limits of processes and of memory "
                "(ulimit -u, ulimit -v) allow too few",
                error.what());
  }
}

/// Threads that take connections, and a bounded queue of those that wait. Whoever accepts more
/// waits too.
class ConnectionQueue {
 public:
  explicit ConnectionQueue(int waiting) : most_(static_cast<size_t>(waiting)) {}
  ~ConnectionQueue() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    work_.notify_all();
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  ConnectionQueue(const ConnectionQueue&) = delete;
  ConnectionQueue& operator=(const ConnectionQueue&) = delete;

  Status Start(int threads) {
    for (int i = 0; i < threads; ++i) {
      CAIRN_TRY(auto thread, StartThread([this] { Work(); }));
      threads_.push_back(std::move(thread));
    }
    return Ok();
  }

  void Add(std::function<void()> task) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return tasks_.size() < most_ || ended_; });
    tasks_.push_back(std::move(task));
    waiting_ = tasks_.size();
    work_.notify_one();
  }

  bool anybody_waits() const { return waiting_ > 0; }

 private:
  void Work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        work_.wait(lock, [&] { return !tasks_.empty() || ended_; });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
        waiting_ = tasks_.size();
      }
      room_.notify_one();
      task();
    }
  }

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::deque<std::function<void()>> tasks_;
  std::atomic<size_t> waiting_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

/// What the library sees of the queue, which stays when it listens anew.
class QueueEntrance final : public httplib::TaskQueue {
 public:
  explicit QueueEntrance(ConnectionQueue& queue) : queue_(queue) {}
  void enqueue(std::function<void()> task) override { queue_.Add(std::move(task)); }
  void shutdown() override {}

 private:
  ConnectionQueue& queue_;
};

std::string ErrorJson(std::string_view message, std::string_view type) {
  return fmt::format(
      "{{\"error\":{{\"message\":\"{}\",\"type\":\"{}\",\"param\":null,\"code\":null}}}}", message,
      type);
}

/// What is wrong with what a request says of its body: the library would wait for all of it.
std::pair<int, const char*> BodyFault(const httplib::Request& request, size_t most_bytes) {
  const size_t lengths = request.get_header_value_count("Content-Length");
  const bool chunked = request.has_header("Transfer-Encoding");
  if (lengths > 1 || (lengths == 1 && chunked)) return {400, "the body has two lengths"};
  if (lengths == 0) return {chunked ? 0 : 411, "the body's length is missing"};
  const std::string length = request.get_header_value("Content-Length");
  size_t bytes = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
  const bool whole = end == length.data() + length.size() && !length.empty();
  if (error == std::errc::invalid_argument || !whole)
    return {400, "the body's length is no number"};
  if (error != std::errc() || bytes > most_bytes) return {413, "the body is too large"};
  return {0, nullptr};
}

void Refuse(httplib::Response& response, int status, std::string_view message) {
  const bool credentials = status == 401;
  response.status = status;
  response.set_content(
      ErrorJson(message, credentials ? "authentication_error" : "invalid_request_error"),
      "application/json");
  if (credentials) response.set_header("WWW-Authenticate", "Bearer");
}

}  // namespace

struct HttpServer::Impl final : httplib::Server {
  Impl(HttpOptions given, HttpHandler called)
      : options(std::move(given)), handler(std::move(called)), queue(options.limits.waiting) {}
  ~Impl() override;

  Status Listen();
  /// Takes connections until the end, also after errors of the system.
  void Accept();
  bool process_and_close_socket(int socket) override;
  HandlerResponse Guard(const httplib::Request& request, httplib::Response& response);
  /// The status and the reason of a refusal; 0 if there is none.
  std::pair<int, const char*> Fault(const httplib::Request& request) const;
  /// The path without the token, as it is in `path`; empty without a token.
  std::string_view Below(const httplib::Request& request, std::string_view path) const;
  void Handle(const httplib::Request& request, httplib::Response& response);

  const HttpOptions options;
  const HttpHandler handler;
  std::unique_ptr<HostNames> names;
  std::optional<PublicUrl> in_front;
  int bound_port = 0;
  std::atomic<bool> stopping = false;
  std::mutex socket_mutex;
  int listening = -1;  // the socket; the library has another number for it, and closes that
  ConnectionQueue queue;
  std::thread thread;
};

Status HttpServer::Impl::Listen() {
  new_task_queue = [this] { return std::make_unique<QueueEntrance>(queue).release(); };
  set_payload_max_length(options.limits.body_bytes);
  set_tcp_nodelay(true);
  set_socket_options([](socket_t listening) {  // the library's own would let others listen too
    const int yes = 1;
    (void)setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  set_keep_alive_max_count(static_cast<size_t>(options.limits.requests));
  set_default_headers({{"Content-Security-Policy", kPolicy},
                       {"X-Content-Type-Options", "nosniff"},
                       {"Referrer-Policy", "no-referrer"},
                       {"Cross-Origin-Resource-Policy", "same-origin"},
                       {"Cache-Control", "no-store"}});
  set_pre_routing_handler(
      [this](const auto& request, auto& response) { return Guard(request, response); });
  Post("/.*", [this](const httplib::Request& request, httplib::Response& response) {
    Handle(request, response);
  });
  set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    connection_of_thread->CloseAfterThis();
    const bool large = connection_of_thread->body_too_large() || response.status == 413;
    const bool slow = !large && connection_of_thread->body_too_slow();
    if (large) response.status = 413;
    if (slow) response.status = 408;
    response.set_content(ErrorJson(large  ? "the body is too large"
                                   : slow ? "the body did not come in time"
                                          : "this is no request",
                                   "invalid_request_error"),
                         "application/json");
  });
  set_exception_handler([](const auto&, auto& response, const std::exception_ptr&) {
    Refuse(response, 500, "something failed");
  });
  bound_port = options.port == 0                          ? bind_to_any_port(options.host)
               : bind_to_port(options.host, options.port) ? options.port
                                                          : -1;
  if (bound_port <= 0) {
    return Fail(Errc::kBusy,
                "--port {}: nothing can be served on {}, as another program has the port or this "
                "machine has not the address; 0 takes any port that is free",
                options.port, options.host);
  }
  // The library lets five wait to be accepted; of more, some would try again after seconds.
  (void)::listen(svr_sock_, SOMAXCONN);
  names = std::make_unique<HostNames>(options.host, bound_port);
  listening = fcntl(svr_sock_, F_DUPFD_CLOEXEC, 0);
  if (listening < 0) {
    close(svr_sock_);
    return Fail(Errc::kResource, "no socket can be had to listen on: {}", std::strerror(errno));
  }
  CAIRN_TRY(queue.Start(options.limits.connections));
  CAIRN_TRY(thread, StartThread([this] { Accept(); }));
  return Ok();
}

void HttpServer::Impl::Accept() {
  for (;;) {
    (void)listen_after_bind();
    // It closes its socket after any error, which may have passed when it is asked again.
    do {
      std::this_thread::sleep_for(kPause);
      const std::lock_guard lock(socket_mutex);
      if (stopping) return;
      svr_sock_ = fcntl(listening, F_DUPFD_CLOEXEC, 0);
    } while (svr_sock_ < 0);
  }
}

HttpServer::Impl::~Impl() {
  if (listening < 0) return;
  {
    const std::lock_guard lock(socket_mutex);
    stopping = true;
    ::shutdown(listening, SHUT_RDWR);  // ends the accept() that waits
    close(listening);
  }
  if (thread.joinable()) {
    thread.join();
  } else {
    close(svr_sock_);
  }
}

bool HttpServer::Impl::process_and_close_socket(int socket) {
  HttpConnection connection(socket, options.limits, stopping);
  connection_of_thread = &connection;
  for (int left = options.limits.requests; left > 0 && !connection.last() && !stopping; --left) {
    const HttpConnection::Head head = connection.ReadHead();
    if (head == HttpConnection::Head::kTooLarge) {
      connection.Refuse(431, "Request Header Fields Too Large");
    }
    if (head == HttpConnection::Head::kTooSlow) connection.Refuse(408, "Request Timeout");
    if (head != HttpConnection::Head::kWhole) break;
    // A thread is for those who ask, not for those who might ask again.
    const bool last = left == 1 || queue.anybody_waits();
    bool closed = false;
    const bool answered = process_request(connection, last, closed, [](httplib::Request& request) {
      request.ranges.clear();  // a thousand of them would be a thousand copies
      request.headers.erase("Range");
      request.headers.erase("Accept-Encoding");
    });
    if (!answered || last || closed) break;
  }
  connection_of_thread = nullptr;
  return true;
}

std::string_view HttpServer::Impl::Below(const httplib::Request& request,
                                         std::string_view path) const {
  if (options.token.empty()) return path;
  const std::string_view below = BelowToken(path, options.token);
  if (!below.empty()) return below;
  const std::string authorization = request.get_header_value("Authorization");
  return EqualInConstantTime(BearerOf(authorization), options.token) ? path : std::string_view();
}

std::pair<int, const char*> HttpServer::Impl::Fault(const httplib::Request& request) const {
  const bool post = request.method == "POST";
  if (!post && request.method != "GET" && request.method != "HEAD") {
    return {405, "only GET, HEAD and POST are served"};
  }
  const std::string host = request.get_header_value("Host");
  const bool own = names->Allows(host);
  const bool called = own || (in_front.has_value() && host == in_front->host);
  if (request.get_header_value_count("Host") != 1 || !called) {
    return {421, "this server is called by another name"};
  }
  const std::string origin = request.get_header_value("Origin");
  const bool same = own && origin == "http://" + host;
  const bool from_front = in_front.has_value() && origin == in_front->origin;
  if (request.has_header("Origin") && !same && !from_front) {
    return {403, "pages of others may not ask"};
  }
  const std::string_view path = Below(request, request.path);
  if (path.empty()) return {401, "the token is missing or wrong"};
  if (!post) return {0, nullptr};
  if (std::ranges::find(options.post_paths, path) == options.post_paths.end()) {
    return {405, "this can only be read"};
  }
  if (const auto fault = BodyFault(request, options.limits.body_bytes); fault.first != 0) {
    return fault;
  }
  const std::string type = request.get_header_value("Content-Type");
  if (!type.starts_with("application/json") || request.has_header("Content-Encoding")) {
    return {415, "send application/json as it is"};
  }
  return {0, nullptr};
}

httplib::Server::HandlerResponse HttpServer::Impl::Guard(const httplib::Request& request,
                                                         httplib::Response& response) {
  const auto [status, reason] = Fault(request);
  const bool body = request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
  if (status == 0 && request.method == "POST") return HandlerResponse::Unhandled;  // its body comes
  if (body) connection_of_thread->CloseAfterThis();  // which nobody reads
  if (status == 0) {
    Handle(request, response);
  } else {
    Refuse(response, status, reason);
  }
  if (status == 405) {
    const auto& posts = options.post_paths;
    const bool taken = std::ranges::find(posts, Below(request, request.path)) != posts.end();
    response.set_header("Allow", taken ? "GET, HEAD, POST" : "GET, HEAD");
  }
  return HandlerResponse::Handled;
}

void HttpServer::Impl::Handle(const httplib::Request& request, httplib::Response& response) {
  HttpConnection* const connection = connection_of_thread;
  HttpRequest asked;
  asked.path = Below(request, request.path);
  asked.post = request.method == "POST";
  for (const auto& [name, value] : request.params) asked.query.emplace(name, value);
  asked.body = request.body;
  asked.gone = [connection] { return connection->Gone(); };
  HttpReply reply = handler(asked);
  response.status = reply.status;
  for (const auto& [name, value] : reply.headers) response.set_header(name, value);
  if (reply.stream == nullptr) {
    response.set_content(reply.body, reply.type);
    if (reply.finally) reply.finally();
    return;
  }
  response.set_chunked_content_provider(
      reply.type,
      [stream = std::move(reply.stream)](size_t, httplib::DataSink& sink) {
        stream([&sink](std::string_view piece) { return sink.write(piece.data(), piece.size()); });
        sink.done();
        return true;
      },
      [finally = std::move(reply.finally)](bool) {
        if (finally) finally();
      });
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpOptions options, HttpHandler handler) {
  if (options.port < 0 || options.port > 65535) {
    return Fail(Errc::kInvalidArgument, "--port {}: use 0 to 65535", options.port);
  }
  in6_addr ignored{};
  if (inet_pton(AF_INET, options.host.c_str(), &ignored) != 1 &&
      inet_pton(AF_INET6, options.host.c_str(), &ignored) != 1) {
    return Fail(Errc::kInvalidArgument, "--host {}: use an address such as 127.0.0.1 or ::1",
                options.host);
  }
  auto impl = std::make_unique<Impl>(std::move(options), std::move(handler));
  if (!impl->options.public_url.empty()) {
    CAIRN_TRY(impl->in_front, PublicUrl::Parse(impl->options.public_url));
  }
  CAIRN_TRY(impl->Listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

int HttpServer::port() const { return impl_->bound_port; }

std::string HttpServer::url() const {
  return fmt::format("http://{}:{}/{}/", HostInUrl(impl_->options.host), impl_->bound_port,
                     impl_->options.token);
}

}  // namespace cairn
