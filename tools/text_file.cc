#include "tools/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "tools/interrupt.h"

namespace cairn {

namespace {

constexpr size_t kReadBytes = 1 << 20;

/// What there is, once there is something; 0 at the end.
Result<size_t> ReadSome(int fd, const std::string& name, std::span<char> buffer) {
  while (true) {
    if (!AwaitInput(fd)) return Fail(Errc::kInterrupted, "stopped while {} was read", name);
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count >= 0) return static_cast<size_t>(count);
    if (errno == EINTR || errno == EAGAIN) continue;
    return Fail(Errc::kIo, "cannot read {}: {}", name, std::strerror(errno));
  }
}

}  // namespace

Result<std::string> ReadText(const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  // A named pipe is opened without a wait for its writer, which is waited for in ReadSome.
  const int fd =
      standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return Fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, "cannot read {}: {}", path,
                std::strerror(errno));
  }
  std::string text;
  std::vector<char> buffer(kReadBytes);
  Result<size_t> count = size_t{0};
  do {
    count = ReadSome(fd, name, buffer);
    if (count) text.append(buffer.data(), count.value());
  } while (count && count.value() > 0);
  if (!standard_input) close(fd);
  CAIRN_TRY(count);
  if (text.empty()) {
    return Fail(Errc::kInvalidArgument, "{} is empty; there is nothing to read", name);
  }
  return text;
}

Result<bool> InputLines::Next(std::string* line) {
  size_t end = 0;
  while ((end = waiting_.find('\n')) == std::string::npos && !ended_) {
    char buffer[4096];
    CAIRN_TRY(const size_t count, ReadSome(STDIN_FILENO, "standard input", buffer));
    waiting_.append(buffer, count);
    ended_ = count == 0;
  }
  if (waiting_.empty()) return false;
  *line = waiting_.substr(0, end);
  waiting_.erase(0, end == std::string::npos ? end : end + 1);
  if (line->ends_with('\r')) line->pop_back();
  return true;
}

size_t CompleteUtf8(std::string_view bytes) {
  // At most three bytes can be waiting for more: find the last lead byte among them.
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if (byte < 0x80) return bytes.size();
    if (byte < 0xC0) continue;
    const size_t need = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    return back < need ? bytes.size() - back : bytes.size();
  }
  return bytes.size();
}

}  // namespace cairn
