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
  return Fail(Errc::kBusy, "nobody serves http://127.0.0.1:{}{} now", port, path);
}

}  // namespace cairn
