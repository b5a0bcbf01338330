#include "bench/redis_peer.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "bench/ladder_store.h"
#include "bench/redis_connection.h"

namespace cairn {
namespace {

constexpr int kMostStartTries = 200;
constexpr auto kStartTry = std::chrono::milliseconds(20);

std::string KeyOf(uint64_t block_bytes, uint32_t block) {
  return fmt::format("{}:{}", block_bytes, block);
}

/// A port of the loopback interface that nobody has now.
Result<uint16_t> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool good = fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (fd >= 0) close(fd);
  if (!good) return Fail(Errc::kIo, "the loopback interface has no free port");
  return ntohs(address.sin_port);
}

class Reads final : public LadderCase {
 public:
  Reads(LadderKey key, uint16_t port, uint32_t blocks)
      : LadderCase(key, key.batch * key.block_bytes),
        port_(port),
        walk_(ShuffledOrder(blocks, 10), key.readers) {}

  Status Prepare() override {
    for (int i = 0; i < key().readers; ++i) {
      CAIRN_TRY(auto connection, RedisConnection::Open(port_));
      connections_.push_back(std::move(connection));
      targets_.emplace_back(operation_bytes(), 1);
    }
    return Ok();
  }

  Status Run(int reader, uint64_t count) override {
    const auto index = static_cast<size_t>(reader);
    for (; count > 0; --count) {
      std::vector<std::string> names;
      for (const uint32_t block : walk_.Next(reader, key().batch)) {
        names.push_back(KeyOf(key().block_bytes, block));
      }
      CAIRN_TRY(connections_[index].GetAll(names, key().block_bytes, targets_[index].data()));
    }
    return Ok();
  }

  void Finish() override {
    connections_.clear();
    targets_.clear();
  }

 private:
  const uint16_t port_;
  Walk<uint32_t> walk_;
  std::vector<RedisConnection> connections_;  // by reader
  std::vector<RandomBytes> targets_;
};

}  // namespace

Result<std::unique_ptr<RedisPeer>> RedisPeer::Start(const std::string& directory) {
  if (!FindProgram("redis-server")) {
    return Fail(Errc::kNotFound, "redis-server is not installed");
  }
  CAIRN_TRY(const uint16_t port, FreePort());
  CAIRN_TRY(auto server, ChildProcess::Start({"redis-server", "--port", std::to_string(port),
                                              "--bind", "127.0.0.1", "--save", "", "--appendonly",
                                              "no", "--daemonize", "no", "--dir", directory}));
  std::unique_ptr<RedisPeer> peer(new RedisPeer(std::move(server), port));
  for (int i = 0; i < kMostStartTries && !peer->server_.ended(); ++i) {
    std::this_thread::sleep_for(kStartTry);
    auto connection = RedisConnection::Open(port);
    if (connection && connection.value().Ping()) return peer;
  }
  return Fail(Errc::kIo, "redis-server does not answer");
}

Status RedisPeer::Fill(uint64_t block_bytes, uint32_t blocks) {
  CAIRN_TRY(auto connection, RedisConnection::Open(port_));
  const RandomBytes bytes(block_bytes * 2, block_bytes);
  for (uint32_t i = 0; i < blocks; ++i) {
    // Each block begins elsewhere in the random bytes.
    const auto value = bytes.all().subspan(i * 64 % block_bytes, block_bytes);
    CAIRN_TRY(connection.Set(KeyOf(block_bytes, i), value));
  }
  return Ok();
}

std::unique_ptr<LadderCase> RedisPeer::MakeCase(LadderKey key, uint32_t blocks) {
  return std::make_unique<Reads>(std::move(key), port_, blocks);
}

}  // namespace cairn
