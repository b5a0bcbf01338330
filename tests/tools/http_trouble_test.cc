// What the system can do to HttpServer: errors where connections are taken, and too few threads.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "tools/http_fetch.h"
#include "tools/http_server.h"

namespace {

std::atomic<int> failing = 0;  // calls of accept() that will fail
std::atomic<int> failing_with = 0;

}  // namespace

// In place of the C library's, for the library that serves.
extern "C" int accept(int socket, sockaddr* address, socklen_t* size) {
  if (failing > 0) {
    --failing;
    errno = failing_with;
    return -1;
  }
  return accept4(socket, address, size, 0);
}

namespace cairn {
namespace {

Result<std::unique_ptr<HttpServer>> Start(int connections) {
  HttpOptions options;
  options.limits.connections = connections;
  return HttpServer::Start(options, [](const HttpRequest&) { return HttpReply{.body = "here"}; });
}

TEST(HttpTrouble, TakesConnectionsAgainAfterErrors) {
  const auto server = Start(2);
  ASSERT_TRUE(server.has_value());
  const int port = server.value()->port();
  for (const int kind : {ENOBUFS, ENOMEM, ENFILE, ECONNABORTED, EINTR, EMFILE}) {
    failing_with = kind;
    failing = 3;
    // The first may be taken by the accept() that waits already; the others meet the errors.
    for (int i = 0; i < 3; ++i) {
      const auto text = FetchLocal(port, "/");
      ASSERT_TRUE(text.has_value()) << kind << text.error().message;
      EXPECT_EQ(text.value(), "here");
    }
    EXPECT_EQ(failing, 0) << kind;
  }
}

/// Bytes of address space that this process has.
uint64_t AddressSpace() {
  uint64_t pages = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  EXPECT_EQ(std::fscanf(file, "%lu", &pages), 1);
  std::fclose(file);
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST(HttpTrouble, TooFewThreadsAreAnError) {
#ifdef CAIRN_SANITIZED
  GTEST_SKIP() << "a sanitizer needs address space of its own for each thread";
#endif
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit little = before;
  little.rlim_cur = AddressSpace() + (200 << 20);  // stacks of some threads
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  const auto many = Start(256);
  const auto few = Start(2);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  ASSERT_FALSE(many.has_value());
  EXPECT_EQ(many.error().code, Errc::kResource) << many.error().message;
  EXPECT_TRUE(few.has_value());
}

}  // namespace
}  // namespace cairn
