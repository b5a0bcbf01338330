#include "bench/lmcache_peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "bench/lmcache_driver.h"

namespace cairn {
namespace {

constexpr uint32_t kFill = 0, kRead = 1;  // operations of the driver
constexpr uint32_t kMostText = 1000;

Error Gone() { return Fail(Errc::kIo, "LMCache's process has ended"); }

/// Reads exactly `bytes`; false at the end of the stream.
bool ReadFully(int fd, void* target, size_t bytes) {
  auto* at = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t count = read(fd, at, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    bytes -= static_cast<size_t>(count);
  }
  return true;
}

class Reads final : public LadderCase {
 public:
  Reads(LadderKey key, LmcachePeer& peer, uint32_t blocks, bool direct)
      : LadderCase(key, key.batch * key.block_bytes),
        peer_(peer),
        direct_(direct),
        walk_(ShuffledOrder(blocks, 11), 1) {}

  Status Run(int reader, uint64_t count) override {
    for (; count > 0; --count) {
      CAIRN_TRY(peer_.Read(key().block_bytes, direct_, walk_.Next(reader, key().batch)));
    }
    return Ok();
  }

 private:
  LmcachePeer& peer_;
  const bool direct_;
  Walk<uint32_t> walk_;
};

}  // namespace

Result<std::unique_ptr<LmcachePeer>> LmcachePeer::Start(const std::string& directory) {
  if (!FindProgram("python3")) return Fail(Errc::kNotFound, "there is no python3");
  CAIRN_TRY(auto driver,
            ChildProcess::StartTalking({"python3", "-c", kLmcacheDriver, directory + "/lmcache"}));
  std::unique_ptr<LmcachePeer> peer(new LmcachePeer(std::move(driver)));
  auto version = peer->Receive();
  if (!version) return Fail(Errc::kNotFound, "{}", version.error().message);
  peer->version_ = std::move(version).value();
  return peer;
}

Status LmcachePeer::Send(std::span<const uint32_t> numbers) {
  const auto* at = reinterpret_cast<const char*>(numbers.data());
  for (size_t left = numbers.size_bytes(); left > 0;) {
    const ssize_t count = send(driver_.stream(), at, left, MSG_NOSIGNAL);
    if (count < 0 && errno != EINTR) return Gone();
    at += std::max<ssize_t>(count, 0);
    left -= static_cast<size_t>(std::max<ssize_t>(count, 0));
  }
  return Ok();
}

Result<std::string> LmcachePeer::Receive() {
  uint32_t head[2];  // status, length of the text
  if (!ReadFully(driver_.stream(), head, sizeof head) || head[1] > kMostText) return Gone();
  std::string text(head[1], '\0');
  if (!ReadFully(driver_.stream(), text.data(), text.size())) return Gone();
  if (head[0] == 0) return text;
  return Fail(Errc::kIo, "{}", text);
}

Status LmcachePeer::Fill(uint64_t block_bytes, uint32_t blocks) {
  const uint32_t request[] = {kFill, static_cast<uint32_t>(block_bytes), blocks};
  CAIRN_TRY(Send(request));
  CAIRN_TRY(Receive());
  return Ok();
}

Status LmcachePeer::Read(uint64_t block_bytes, bool direct, std::span<const uint32_t> blocks) {
  std::vector<uint32_t> request{kRead, static_cast<uint32_t>(block_bytes), direct ? 1u : 0u,
                                static_cast<uint32_t>(blocks.size())};
  request.insert(request.end(), blocks.begin(), blocks.end());
  CAIRN_TRY(Send(request));
  CAIRN_TRY(Receive());
  return Ok();
}

std::unique_ptr<LadderCase> LmcachePeer::MakeCase(LadderKey key, uint32_t blocks, bool direct) {
  return std::make_unique<Reads>(std::move(key), *this, blocks, direct);
}

}  // namespace cairn
