// HttpConnection: one client's socket with limits on bytes and time. The head of a request is read
// whole before anybody looks at it, so that nobody waits for one that does not come.
//
// An adapter of cpp-httplib, whose streams have no limits of their own. One thread.
#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "tools/http_server.h"

namespace cairn {

class HttpConnection final : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;

  /// Owns `socket`. Everything that waits gives up soon after `stopping` becomes true.
  HttpConnection(int socket, const HttpLimits& limits, const std::atomic<bool>& stopping);
  /// Ends so that what was sent last arrives, also if the client has more to say.
  ~HttpConnection() override;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  enum class Head { kWhole, kNone, kTooLarge, kTooSlow };
  /// Waits for the next request, as long as a client may idle, and reads its head. kNone: the
  /// client has left, or said nothing.
  Head ReadHead();
  /// A reply without a request that could be read; the connection is of no use then.
  void Refuse(int status, std::string_view reason);

  /// The client has left, or everybody must: an answer would be for nobody. One that has said its
  /// last word, and could still hear, counts as having left.
  bool Gone() const;
  /// Bytes that a request's body had beyond the limit were asked for.
  bool body_too_large() const { return body_too_large_; }
  /// Not all of a request's body came in time.
  bool body_too_slow() const { return body_too_slow_; }
  /// From now on no other request is read.
  void CloseAfterThis() { last_ = true; }
  bool last() const { return last_; }

  // httplib::Stream
  bool is_readable() const override { return true; }
  bool is_writable() const override { return !Gone(); }
  ssize_t read(char* target, size_t size) override;
  ssize_t write(const char* source, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  /// The library refuses sockets of large numbers, as it might use select() on them. It never sees
  /// this one.
  socket_t socket() const override { return 0; }

 private:
  /// True once `events` are there; false after `end`, an error or a stop.
  bool WaitFor(short events, Clock::time_point end) const;
  /// Reads what there is into the buffer; false if nothing came before `end`.
  bool Fill(Clock::time_point end);

  const int socket_;
  const HttpLimits& limits_;
  const std::atomic<bool>& stopping_;
  std::string buffer_;  // read from the socket
  size_t taken_ = 0;    // of it, by the library
  size_t head_left_ = 0, body_left_ = 0;
  Clock::time_point body_end_;
  bool body_too_large_ = false, body_too_slow_ = false, last_ = false, broken_ = false;
};

}  // namespace cairn
