// What a client can do to HttpServer, over real sockets: nothing without the token, and nothing
// that holds more than its limits allow.
#include "tools/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace cairn {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr const char* kToken = "0123456789abcdef0123456789abcdef";
constexpr int kPatienceMs = 20'000;  // more than anything here takes on a busy machine

/// A client that says what it likes.
class Client {
 public:
  explicit Client(int port) : file_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(file_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  ~Client() { Leave(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Leave() {
    if (file_ >= 0) close(file_);
    file_ = -1;
  }
  void CloseItsSide() { shutdown(file_, SHUT_WR); }
  /// False if the server does not listen any more.
  bool Say(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(file_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// All that comes until `end` has come, or the server ends the connection.
  std::string Hear(std::string_view end = "\x01never") {
    std::string heard = std::exchange(rest_, {});
    for (;;) {
      const size_t found = heard.find(end);
      if (found != std::string::npos) {
        rest_ = heard.substr(found + end.size());
        return heard.substr(0, found + end.size());
      }
      pollfd asked{.fd = file_, .events = POLLIN, .revents = 0};
      if (poll(&asked, 1, kPatienceMs) != 1) {
        ADD_FAILURE() << "nothing came behind " << heard;
        return heard;
      }
      char bytes[4096];
      const ssize_t got = recv(file_, bytes, sizeof bytes, 0);
      if (got <= 0) return heard;
      heard.append(bytes, static_cast<size_t>(got));
    }
  }

 private:
  int file_;
  std::string rest_;
};

int StatusIn(const std::string& reply) {
  return reply.starts_with("HTTP/1.1 ") ? std::stoi(reply.substr(9, 3)) : 0;
}

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpLimits limits = {}, const std::string& public_url = "") {
    auto started =
        HttpServer::Start({.port = 0,
                           .public_url = public_url,
                           .token = kToken,
                           .post_paths = {"/take"},
                           .limits = limits},
                          [this](const HttpRequest& request) { return Answer(request); });
    ASSERT_TRUE(started.has_value()) << started.error().message;
    server_ = std::move(started).value();
    host_ = "127.0.0.1:" + std::to_string(server_->port());
  }

  HttpReply Answer(const HttpRequest& request) {
    ++handled_;
    if (request.path == "/stream") {
      return {.type = "text/plain",
              .stream =
                  [this, gone = request.gone](const HttpWrite& write) {
                    for (int i = 0; i < 3; ++i) (void)write("piece" + std::to_string(i) + ";");
                    while (endless_ && !gone()) std::this_thread::sleep_for(milliseconds(5));
                    saw_gone_ = gone();
                  },
              .finally = [this] { ++finished_; }};
    }
    if (request.path == "/large") return {.type = "text/plain", .body = std::string(4 << 20, 'x')};
    return {.type = "text/plain",
            .body = request.path + "|" + request.Query("q") + "|" + request.body};
  }

  /// A reply to one request, on a connection of its own.
  std::string Ask(const std::string& text) {
    Client client(server_->port());
    EXPECT_TRUE(client.Say(text));
    return client.Hear();
  }
  std::string Get(const std::string& path, const std::string& headers = "") {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n" +
               headers + "\r\n");
  }
  std::string Post(const std::string& path, const std::string& headers, const std::string& body) {
    return Ask("POST " + path + " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n" +
               headers + "\r\n" + body);
  }
  std::string Below(const std::string& path) const { return std::string("/") + kToken + path; }
  static void Within(milliseconds time, const std::function<bool()>& done) {
    const auto end = Clock::now() + time;
    while (!done() && Clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(done());
  }

  std::atomic<int> handled_ = 0, finished_ = 0;
  std::atomic<bool> endless_ = false, saw_gone_ = false;
  std::unique_ptr<HttpServer> server_;
  std::string host_;
};

TEST_F(HttpServerTest, TheTokenIsInThePathOrTheHeader) {
  Start();
  EXPECT_EQ(server_->url(), "http://" + host_ + "/" + kToken + "/");
  const std::string reply = Get(Below("/a%20b?q=1%262&q=3"));
  EXPECT_EQ(StatusIn(reply), 200);
  EXPECT_TRUE(reply.ends_with("\r\n\r\n/a b|1&2|")) << reply;
  EXPECT_EQ(StatusIn(Get("/x", std::string("Authorization: Bearer ") + kToken + "\r\n")), 200);
  EXPECT_EQ(StatusIn(Get("/x", std::string("Authorization: bearer  ") + kToken + "\r\n")), 200);
  EXPECT_EQ(handled_, 3);
}

TEST_F(HttpServerTest, WithoutTheTokenNobodyIsAnswered) {
  Start();
  std::string other = kToken;
  other.back() = '0';
  for (const std::string& path :
       {std::string("/"), std::string("/x"), std::string("/") + kToken, "/" + other + "/x",
        std::string("/") + kToken + "0/x", std::string("//") + kToken + "/x",
        std::string("/x/../") + kToken + "/x", "/?token=" + std::string(kToken)}) {
    const std::string reply = Get(path);
    EXPECT_EQ(StatusIn(reply), 401) << path;
    EXPECT_NE(reply.find("WWW-Authenticate: Bearer"), std::string::npos);
    EXPECT_EQ(reply.find(kToken), std::string::npos);
  }
  for (const std::string& value : {std::string("Bearer"), "Bearer " + other,
                                   std::string("Basic ") + kToken, std::string(kToken)}) {
    EXPECT_EQ(StatusIn(Get("/x", "Authorization: " + value + "\r\n")), 401) << value;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, OtherNamesAndPagesOfOthersAreRefused) {
  Start();
  const std::string port = std::to_string(server_->port());
  const auto by = [&](const std::string& headers) {
    return StatusIn(
        Ask("GET " + Below("/x") + " HTTP/1.1\r\nConnection: close\r\n" + headers + "\r\n"));
  };
  EXPECT_EQ(by("Host: " + host_ + "\r\n"), 200);
  EXPECT_EQ(by("Host: localhost:" + port + "\r\n"), 200);
  EXPECT_EQ(by("Host: LocalHost:" + port + "\r\n"), 200);
  for (const std::string& host :
       {"evil.example:" + port, std::string("127.0.0.1"), std::string("localhost:1"),
        "127.0.0.1.evil.example:" + port, "[::1]:" + port, "127.0.0.2:" + port,
        "localhost:" + port + ".evil.example", std::string("["), std::string()}) {
    EXPECT_EQ(by("Host: " + host + "\r\n"), 421) << host;
  }
  EXPECT_EQ(by(""), 421);
  EXPECT_EQ(by("Host: " + host_ + "\r\nHost: " + host_ + "\r\n"), 421);
  EXPECT_EQ(by("Host: " + host_ + "\r\nOrigin: http://" + host_ + "\r\n"), 200);
  for (const std::string& origin : {std::string("null"), std::string("http://evil.example"),
                                    "https://" + host_, "http://localhost:" + port}) {
    EXPECT_EQ(by("Host: " + host_ + "\r\nOrigin: " + origin + "\r\n"), 403) << origin;
  }
}

TEST_F(HttpServerTest, NothingIsWritable) {
  Start();
  for (const char* method : {"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PRI"}) {
    const std::string reply = Ask(std::string(method) + " " + Below("/x") +
                                  " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(StatusIn(reply) == 405 || StatusIn(reply) == 400) << method << reply;
  }
  const std::string json = "Content-Type: application/json\r\nContent-Length: 2\r\n";
  const std::string refused = Post(Below("/x"), json, "{}");
  EXPECT_EQ(StatusIn(refused), 405);
  EXPECT_NE(refused.find("\r\nAllow: GET, HEAD\r\n"), std::string::npos) << refused;
  const std::string put = Ask("PUT " + Below("/take") + " HTTP/1.1\r\nHost: " + host_ +
                              "\r\nConnection: close\r\n\r\n");
  EXPECT_NE(put.find("\r\nAllow: GET, HEAD, POST\r\n"), std::string::npos) << put;
  EXPECT_EQ(StatusIn(Post("/take", json, "{}")), 401);
  EXPECT_EQ(handled_, 0);
  EXPECT_TRUE(Post(Below("/take"), json, "{}").ends_with("/take||{}"));
  EXPECT_EQ(handled_, 1);
}

TEST_F(HttpServerTest, HeadHasNoBodyAndRangesAreLeftOut) {
  Start();
  const std::string head =
      Ask("HEAD " + Below("/x") + " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusIn(head), 200);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  const std::string ranged = Get(Below("/x"), "Range: bytes=0-0,0-0,0-0\r\n");
  EXPECT_EQ(StatusIn(ranged), 200);
  EXPECT_TRUE(ranged.ends_with("/x||"));
}

TEST_F(HttpServerTest, EveryReplyForbidsWhatAPageDoesNotNeed) {
  Start();
  for (const std::string& reply : {Get(Below("/x")), Get("/"), Get(Below("/x"), "Origin: x\r\n")}) {
    for (const char* header : {"Content-Security-Policy: default-src 'none'; script-src 'self'",
                               "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
                               "Cache-Control: no-store"}) {
      EXPECT_NE(reply.find(header), std::string::npos) << header;
    }
    EXPECT_EQ(reply.find("Access-Control"), std::string::npos);
  }
}

TEST_F(HttpServerTest, HugeHeadsAreRefused) {
  Start();
  const std::string start = "GET " + Below("/x") + " HTTP/1.1\r\nHost: " + host_ + "\r\n";
  EXPECT_EQ(StatusIn(Ask(start + "A: " + std::string(20'000, 'a') + "\r\n\r\n")), 431);
  std::string many = start;
  for (int i = 0; i < 5000; ++i) many += "A: b\r\n";
  EXPECT_EQ(StatusIn(Ask(many + "\r\n")), 431);
  EXPECT_EQ(StatusIn(Get(Below("/" + std::string(20'000, 'a')))), 431);
  EXPECT_EQ(StatusIn(Get(Below("/" + std::string(10'000, 'a')))), 414);
  Client endless(server_->port());
  (void)endless.Say(start);
  while (endless.Say("A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n")) {
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, SlowHeadsAndBodiesAreRefused) {
  Start({.head_time = milliseconds(300), .body_time = milliseconds(300)});
  Client head(server_->port());
  const auto begin = Clock::now();
  std::atomic<bool> ended = false;
  std::thread drip([&] {  // a letter is never late, but all of them are
    while (!ended && head.Say("G")) std::this_thread::sleep_for(milliseconds(20));
  });
  EXPECT_EQ(StatusIn(head.Hear()), 408);
  ended = true;
  drip.join();
  EXPECT_LT(Clock::now() - begin, milliseconds(kPatienceMs));
  const std::string reply =
      Post(Below("/take"), "Content-Type: application/json\r\nContent-Length: 100\r\n", "{");
  EXPECT_EQ(StatusIn(reply), 408);
  EXPECT_NE(reply.find("the body did not come in time"), std::string::npos) << reply;
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, OnesWhoSayNothingAreSentAway) {
  Start({.idle_time = milliseconds(200)});
  Client silent(server_->port());
  EXPECT_EQ(silent.Hear(), "");
  Client half(server_->port());
  ASSERT_TRUE(half.Say("GET " + Below("/x") + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n"));
  EXPECT_EQ(StatusIn(half.Hear("/x||")), 200);
  EXPECT_EQ(half.Hear(), "");
}

TEST_F(HttpServerTest, HugeBodiesAreRefused) {
  Start({.body_bytes = 10'000});
  const std::string json = "Content-Type: application/json\r\n";
  EXPECT_EQ(
      StatusIn(Post(Below("/take"), json + "Content-Length: 20000\r\n", std::string(20'000, ' '))),
      413);
  EXPECT_EQ(StatusIn(Post(Below("/take"), json + "Content-Length: 99999999999999999999\r\n", "{}")),
            413);
  std::string chunks;
  for (int i = 0; i < 100; ++i) chunks += "400\r\n" + std::string(0x400, ' ') + "\r\n";
  EXPECT_EQ(StatusIn(Post(Below("/take"), json + "Transfer-Encoding: chunked\r\n", chunks)), 413);
  EXPECT_EQ(StatusIn(Post(Below("/take"), json + "Content-Encoding: gzip\r\nContent-Length: 2\r\n",
                          "{}")),
            415);
  EXPECT_EQ(
      StatusIn(Post(Below("/take"), "Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}")),
      415);
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(StatusIn(Post(Below("/take"), json + "Transfer-Encoding: chunked\r\n",
                          "2\r\n{}\r\n0\r\n\r\n")),
            200);
}

TEST_F(HttpServerTest, BehindAnotherServerItHasASecondName) {
  const auto status = [&](const std::string& host, const std::string& origin) {
    return StatusIn(Ask("GET " + Below("/x") + " HTTP/1.1\r\nConnection: close\r\nHost: " + host +
                        "\r\n" + (origin.empty() ? "" : "Origin: " + origin + "\r\n") + "\r\n"));
  };
  Start();
  EXPECT_EQ(status("name.example", ""), 421);
  EXPECT_EQ(status(host_, "https://name.example"), 403);
  server_.reset();
  Start({}, "https://name.example");
  for (const std::string& host : {host_, std::string("name.example")}) {
    EXPECT_EQ(status(host, ""), 200);
    EXPECT_EQ(status(host, "https://name.example"), 200);
    EXPECT_EQ(status(host, "https://other.example"), 403);
    EXPECT_EQ(status(host, "http://name.example"), 403);
  }
  EXPECT_EQ(status(host_, "http://" + host_), 200);
  EXPECT_EQ(status("other.example", ""), 421);
  EXPECT_EQ(HttpServer::Start({.public_url = "name.example"}, nullptr).error().code,
            Errc::kInvalidArgument);
}

TEST_F(HttpServerTest, WhatIsNoRequestEndsTheConnection) {
  Start({.head_time = milliseconds(200), .idle_time = milliseconds(200)});
  for (const std::string& text :
       {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), std::string("\r\n\r\n"),
        std::string("GET\r\n\r\n"), std::string("GET  HTTP/1.1\r\n\r\n"),
        std::string(100, '\0') + "\r\n\r\n", std::string("GET / HTTP/9.9\r\n\r\n"),
        "GET " + Below("/x") + " HTTP/1.1\r\nHost\r\n: : :\r\n\r\n"}) {
    const int status = StatusIn(Ask(text));
    EXPECT_TRUE(status == 0 || (status >= 400 && status < 500)) << text << status;
  }
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(StatusIn(Get(Below("/x"))), 200);
}

TEST_F(HttpServerTest, PathsAreTextAndNothingElse) {
  Start();
  for (const char* path : {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/a%00b", "/%ff%fe",
                           "/<script>", "/%zz", "/a//b"}) {
    const std::string reply = Get(Below(path));
    EXPECT_TRUE(StatusIn(reply) == 200 || StatusIn(reply) == 400) << path << reply;
    EXPECT_EQ(reply.find("root:"), std::string::npos);
  }
}

TEST_F(HttpServerTest, AStreamComesInPiecesAndEndsWithItsClient) {
  Start();
  Client whole(server_->port());
  ASSERT_TRUE(whole.Say("GET " + Below("/stream") + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n"));
  EXPECT_NE(whole.Hear("\r\n0\r\n\r\n").find("piece2;"), std::string::npos);
  Within(milliseconds(kPatienceMs), [&] { return finished_ == 1; });  // after its last byte
  EXPECT_FALSE(saw_gone_);
  endless_ = true;
  Client leaving(server_->port());
  ASSERT_TRUE(leaving.Say("GET " + Below("/stream") + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n"));
  (void)leaving.Hear("piece2;");
  EXPECT_EQ(finished_, 1);
  leaving.Leave();
  Within(milliseconds(kPatienceMs), [&] { return finished_ == 2; });
  EXPECT_TRUE(saw_gone_);
}

TEST_F(HttpServerTest, AClientThatAsksMoreAndLeavesIsGone) {
  endless_ = true;
  Start();
  const std::string host = " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n";
  Client leaving(server_->port());
  ASSERT_TRUE(leaving.Say("GET " + Below("/stream") + host));
  (void)leaving.Hear("piece2;");
  ASSERT_TRUE(leaving.Say("GET " + Below("/x") + host));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(finished_, 0) << "it waits";
  leaving.CloseItsSide();
  Within(milliseconds(kPatienceMs), [&] { return finished_ == 1; });
  EXPECT_TRUE(saw_gone_);
}

TEST_F(HttpServerTest, ClientsThatDoNotReadAreLeft) {
  Start({.write_time = milliseconds(300), .connections = 1});
  Client deaf(server_->port());
  ASSERT_TRUE(deaf.Say("GET " + Below("/large") + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n"));
  Within(milliseconds(kPatienceMs), [&] { return handled_ == 1; });
  EXPECT_EQ(StatusIn(Get(Below("/x"))), 200);  // on the one thread, later
}

TEST_F(HttpServerTest, MoreClientsThanThreadsAllGetTheirTurn) {
  Start({.connections = 2, .waiting = 2});
  std::atomic<int> good = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 40; ++i) {
    clients.emplace_back([&] {  // each would like to stay
      Client client(server_->port());
      (void)client.Say("GET " + Below("/x") + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n");
      if (StatusIn(client.Hear("/x||")) == 200) ++good;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 40);
}

TEST_F(HttpServerTest, ItEndsWhoeverIsConnected) {
  endless_ = true;
  Start({.connections = 2, .waiting = 1});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    (void)clients.back()->Say(
        i == 0 ? "GET " + Below("/stream") + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n" : "GET ");
  }
  (void)clients.front()->Hear("piece2;");
  const auto begin = Clock::now();
  server_.reset();
  EXPECT_LT(Clock::now() - begin, milliseconds(kPatienceMs));
  EXPECT_EQ(finished_, 1);
}

TEST(HttpServer, RefusesPlacesThatItCannotListenAt) {
  const auto start = [](const std::string& host, int port) {
    return HttpServer::Start({.host = host, .port = port, .token = kToken},
                             [](const HttpRequest&) { return HttpReply{}; });
  };
  EXPECT_EQ(start("127.0.0.1", 65536).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(start("localhost", 0).error().code, Errc::kInvalidArgument);
  const auto first = start("127.0.0.1", 0);
  ASSERT_TRUE(first.has_value());
  const auto second = start("127.0.0.1", first.value()->port());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kBusy);
}

}  // namespace
}  // namespace cairn
