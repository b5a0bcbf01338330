// FetchLocal: what it says of a server that is there, and of one that is not.
#include "tools/http_fetch.h"

#include <gtest/gtest.h>

#include "tools/http_server.h"

namespace cairn {
namespace {

std::unique_ptr<HttpServer> Serve() {
  auto started = HttpServer::Start({.port = 0}, [](const HttpRequest& request) -> HttpReply {
    if (request.path == "/large") return {.type = "text/plain", .body = std::string(2 << 20, 'x')};
    if (request.path == "/counters") return {.type = "text/plain", .body = "counters"};
    return {.status = 404, .type = "text/plain", .body = "not here"};
  });
  EXPECT_TRUE(started.has_value()) << started.error().message;
  return std::move(started).value();
}

TEST(FetchLocal, SaysWhyThereIsNoAnswer) {
  auto server = Serve();
  const int port = server->port();
  const auto said = [&](const char* path) {
    const auto fetched = FetchLocal(port, path);
    EXPECT_FALSE(fetched.has_value());
    if (fetched) return std::string();
    EXPECT_EQ(fetched.error().code, Errc::kBusy);
    return fetched.error().message;
  };
  EXPECT_EQ(FetchLocal(port, "/counters").value(), "counters");
  const std::string url = "http://127.0.0.1:" + std::to_string(port);
  EXPECT_EQ(said("/other"), url + "/other answers with status 404");
  EXPECT_EQ(said("/large"), url + "/large says more than 1048576 bytes");
  server.reset();
  EXPECT_EQ(said("/counters"), "nobody serves " + url + "/counters now");
}

}  // namespace
}  // namespace cairn
