// RedisConnection: a client's end of the Redis protocol (RESP 2), as much of it as the bench needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cairn {

class RedisConnection {
 public:
  /// To a server on the loopback interface.
  static Result<RedisConnection> Open(uint16_t port);
  ~RedisConnection();
  RedisConnection(RedisConnection&& other) noexcept;
  RedisConnection& operator=(RedisConnection&&) = delete;

  /// Sends a command; its answer must be "+OK".
  Status Set(std::string_view key, std::span<const std::byte> value);
  Status Ping();
  /// Reads values of keys, `value_bytes` each, one after the other into `target`. kNotFound if one
  /// is absent.
  Status GetAll(std::span<const std::string> keys, size_t value_bytes, std::byte* target);

 private:
  explicit RedisConnection(int fd) : fd_(fd) {}
  Status Send(std::string_view head, std::span<const std::byte> body);
  /// A line of the answer, without its end.
  Result<std::string> Line();
  Status Bytes(std::byte* target, size_t count);
  /// Has at least one byte in the buffer.
  Status More();

  int fd_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what was received and not yet used
};

}  // namespace cairn
