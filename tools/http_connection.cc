#include "tools/http_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace cairn {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{100};  // how often one that waits looks whether it should stop
constexpr milliseconds kLinger{500};
constexpr size_t kLingerBytes = 1 << 20;
constexpr size_t kReadBytes = 16 << 10;
constexpr size_t kLeastBytesPerSecond = 64 << 10;  // that a client must take
constexpr std::string_view kHeadEnd = "\r\n\r\n";

}  // namespace

HttpConnection::HttpConnection(int socket, const HttpLimits& limits,
                               const std::atomic<bool>& stopping)
    : socket_(socket), limits_(limits), stopping_(stopping) {}

HttpConnection::~HttpConnection() {
  // What the client still sends would make the system drop what it has not read yet.
  shutdown(socket_, SHUT_WR);
  const auto end = Clock::now() + kLinger;
  std::array<char, kReadBytes> rest;
  for (size_t read = 0; !broken_ && read < kLingerBytes && WaitFor(POLLIN, end);) {
    const ssize_t got = recv(socket_, rest.data(), rest.size(), MSG_DONTWAIT);
    if (got <= 0) break;
    read += static_cast<size_t>(got);
  }
  close(socket_);
}

bool HttpConnection::WaitFor(short events, Clock::time_point end) const {
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    if (left.count() < 0 || stopping_) return false;
    pollfd asked{.fd = socket_, .events = events, .revents = 0};
    const int found = poll(&asked, 1, static_cast<int>(std::min(left, kLook).count()));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) return false;
    if (found == 0 && left.count() == 0) return false;
  }
}

bool HttpConnection::Fill(Clock::time_point end) {
  std::array<char, kReadBytes> bytes;
  for (;;) {
    if (!WaitFor(POLLIN, end)) return false;
    const ssize_t got = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) {
      buffer_.append(bytes.data(), static_cast<size_t>(got));
      return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    broken_ = true;
    return false;
  }
}

HttpConnection::Head HttpConnection::ReadHead() {
  buffer_.erase(0, taken_);
  taken_ = 0;
  if (buffer_.empty() && !Fill(Clock::now() + limits_.idle_time)) return Head::kNone;
  const auto end = Clock::now() + limits_.head_time;
  for (;;) {
    const size_t found = buffer_.find(kHeadEnd);
    if (found != std::string::npos && found + kHeadEnd.size() <= limits_.head_bytes) {
      head_left_ = found + kHeadEnd.size();
      body_left_ = limits_.body_bytes + limits_.head_bytes;  // with the lengths of chunks
      body_end_ = Clock::now() + limits_.body_time;
      body_too_large_ = body_too_slow_ = false;
      return Head::kWhole;
    }
    if (found != std::string::npos || buffer_.size() > limits_.head_bytes) return Head::kTooLarge;
    if (!Fill(end)) return broken_ || stopping_ ? Head::kNone : Head::kTooSlow;
  }
}

ssize_t HttpConnection::read(char* target, size_t size) {
  const bool head = head_left_ > 0;
  size_t& left = head ? head_left_ : body_left_;
  if (left == 0) {
    body_too_large_ = true;
    return -1;
  }
  if (taken_ == buffer_.size()) {
    buffer_.clear();
    taken_ = 0;
    if (!Fill(body_end_)) {
      body_too_slow_ = !broken_ && !stopping_;
      return broken_ ? 0 : -1;
    }
  }
  const size_t count = std::min({size, left, buffer_.size() - taken_});
  std::memcpy(target, buffer_.data() + taken_, count);
  taken_ += count;
  left -= count;
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* source, size_t size) {
  const auto end = Clock::now() + limits_.write_time +
                   std::chrono::seconds(static_cast<int64_t>(size / kLeastBytesPerSecond));
  for (size_t sent = 0; sent < size;) {
    // Some of it at a time, and all of it in the end.
    if (broken_ || !WaitFor(POLLOUT, std::min(end, Clock::now() + limits_.write_time))) {
      broken_ = true;
      return -1;
    }
    const ssize_t now = send(socket_, source + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (now > 0) {
      sent += static_cast<size_t>(now);
    } else if (errno != EAGAIN && errno != EINTR) {
      broken_ = true;
      return -1;
    }
  }
  return static_cast<ssize_t>(size);
}

bool HttpConnection::Gone() const {
  if (broken_ || stopping_) return true;
  // Not recv(): behind what a client says meanwhile its end would not be seen.
  pollfd asked{.fd = socket_, .events = POLLRDHUP, .revents = 0};
  return poll(&asked, 1, 0) > 0;
}

void HttpConnection::Refuse(int status, std::string_view reason) {
  const std::string body = fmt::format("{{\"error\":{{\"message\":\"{}\"}}}}", reason);
  const std::string text = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{}",
      status, reason, body.size(), body);
  (void)write(text.data(), text.size());
  last_ = true;
}

void HttpConnection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();  // nobody asks
  port = 0;
}

void HttpConnection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace cairn
