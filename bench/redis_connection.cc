#include "bench/redis_connection.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cairn {
namespace {

constexpr size_t kBufferBytes = 64 << 10;

Error Broken(const char* what) {
  return Fail(Errc::kIo, "Redis: cannot {}: {}", what, std::strerror(errno));
}

}  // namespace

Result<RedisConnection> RedisConnection::Open(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Broken("make a socket");
  RedisConnection connection(fd);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Broken("connect");
  }
  const int one = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  connection.buffer_.resize(kBufferBytes);
  return connection;
}

RedisConnection::~RedisConnection() {
  if (fd_ >= 0) close(fd_);
}

RedisConnection::RedisConnection(RedisConnection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      end_(other.end_) {}

Status RedisConnection::Send(std::string_view head, std::span<const std::byte> body) {
  for (const std::string_view part :
       {head, std::string_view(reinterpret_cast<const char*>(body.data()), body.size())}) {
    for (size_t sent = 0; sent < part.size();) {
      const ssize_t count = send(fd_, part.data() + sent, part.size() - sent, MSG_NOSIGNAL);
      if (count < 0 && errno != EINTR) return Broken("send");
      sent += static_cast<size_t>(std::max<ssize_t>(count, 0));
    }
  }
  return Ok();
}

Status RedisConnection::More() {
  while (begin_ == end_) {
    const ssize_t count = recv(fd_, buffer_.data(), buffer_.size(), 0);
    if (count == 0) return Fail(Errc::kIo, "Redis closed the connection");
    if (count < 0 && errno != EINTR) return Broken("receive");
    if (count < 0) continue;
    begin_ = 0;
    end_ = static_cast<size_t>(count);
  }
  return Ok();
}

Result<std::string> RedisConnection::Line() {
  std::string line;
  for (;;) {
    CAIRN_TRY(More());
    const char c = buffer_[begin_++];
    if (c == '\n' && line.ends_with('\r')) {
      line.pop_back();
      if (line.starts_with('-')) return Fail(Errc::kIo, "Redis: {}", line.substr(1));
      return line;
    }
    line += c;
  }
}

Status RedisConnection::Bytes(std::byte* target, size_t count) {
  while (count > 0) {
    if (begin_ < end_) {
      const size_t taken = std::min(count, end_ - begin_);
      std::memcpy(target, buffer_.data() + begin_, taken);
      begin_ += taken;
      target += taken;
      count -= taken;
      continue;
    }
    const ssize_t received = recv(fd_, target, count, 0);  // large values go past the buffer
    if (received == 0) return Fail(Errc::kIo, "Redis closed the connection");
    if (received < 0 && errno != EINTR) return Broken("receive");
    if (received < 0) continue;
    target += received;
    count -= static_cast<size_t>(received);
  }
  return Ok();
}

Status RedisConnection::Set(std::string_view key, std::span<const std::byte> value) {
  CAIRN_TRY(
      Send(fmt::format("*3\r\n$3\r\nSET\r\n${}\r\n{}\r\n${}\r\n", key.size(), key, value.size()),
           value));
  CAIRN_TRY(Send("\r\n", {}));
  CAIRN_TRY(const std::string answer, Line());
  if (answer != "+OK") return Fail(Errc::kIo, "Redis answered SET with '{}'", answer);
  return Ok();
}

Status RedisConnection::Ping() {
  CAIRN_TRY(Send("*1\r\n$4\r\nPING\r\n", {}));
  CAIRN_TRY(const std::string answer, Line());
  if (answer != "+PONG") return Fail(Errc::kIo, "Redis answered PING with '{}'", answer);
  return Ok();
}

Status RedisConnection::GetAll(std::span<const std::string> keys, size_t value_bytes,
                               std::byte* target) {
  std::string command = fmt::format("*{}\r\n$4\r\nMGET\r\n", keys.size() + 1);
  for (const std::string& key : keys) command += fmt::format("${}\r\n{}\r\n", key.size(), key);
  CAIRN_TRY(Send(command, {}));
  CAIRN_TRY(const std::string count, Line());
  if (count != fmt::format("*{}", keys.size())) {
    return Fail(Errc::kIo, "Redis answered MGET of {} keys with '{}'", keys.size(), count);
  }
  const std::string expected = fmt::format("${}", value_bytes);
  for (const std::string& key : keys) {
    CAIRN_TRY(const std::string size, Line());
    if (size != expected) {
      return Fail(Errc::kNotFound, "Redis answered '{}' for {} instead of '{}'", size, key,
                  expected);
    }
    CAIRN_TRY(Bytes(target, value_bytes));
    target += value_bytes;
    CAIRN_TRY(Line());
  }
  return Ok();
}

}  // namespace cairn
