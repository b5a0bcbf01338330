#include "tools/http_fetch.h"

#include <httplib.h>

namespace cairn {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr int kSeconds = 2;

}  // namespace

Result<std::string> FetchLocal(int port, const std::string& path) {
  httplib::Client client("127.0.0.1", port);
  client.set_connection_timeout(kSeconds);
  client.set_read_timeout(kSeconds);
  client.set_write_timeout(kSeconds);
  std::string text;
  const auto result = client.Get(path, [&](const char* bytes, size_t count) {
    text.append(bytes, count);
    return text.size() <= kMostBytes;
  });
  if (result && result->status == 200) return text;
  const std::string url = fmt::format("http://127.0.0.1:{}{}", port, path);
  if (result) return Fail(Errc::kBusy, "{} answers with status {}", url, result->status);
  if (text.size() > kMostBytes) {
    return Fail(Errc::kBusy, "{} says more than {} bytes", url, kMostBytes);
  }
  if (result.error() == httplib::Error::Connection) {
    return Fail(Errc::kBusy, "nobody serves {} now", url);
  }
  return Fail(Errc::kBusy, "{} gives no whole answer, or takes more than {} s for a part of it",
              url, kSeconds);
}

}  // namespace cairn
