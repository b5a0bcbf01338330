#include "tools/eval_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "storage/store_directory.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr const char* kSettings = "settings";

Result<std::string> ReadAll(int fd, const std::string& path) {
  std::string content;
  std::vector<char> buffer(1 << 16);
  while (true) {
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count < 0) return SystemError("read", path);
    if (count == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(count));
  }
}

Status CheckSettings(const std::string& path, const json& made, const json& given) {
  for (const auto& [name, value] : given.items()) {
    const json before = made.value(name, json());
    if (before == value) continue;
    return Fail(Errc::kMismatch,
                "{} was made with another {} ({}, not {}); give the same options as then, or "
                "another --scratch",
                path, name, before.dump(), value.dump());
  }
  return Ok();
}

}  // namespace

Result<EvalLog> EvalLog::Open(const std::string& path, const json& settings) {
  EvalLog log(path);
  CAIRN_TRY(log.Lock());
  CAIRN_TRY(log.Load(settings));
  return log;
}

EvalLog::~EvalLog() {
  if (fd_ >= 0) close(fd_);
}

EvalLog::EvalLog(EvalLog&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      records_(std::move(other.records_)) {}

Status EvalLog::Lock() {
  fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0) return SystemError("open", path_);
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return Ok();
  if (errno != EWOULDBLOCK) return SystemError("lock", path_);
  return Fail(Errc::kBusy, "{} is in use by another process; wait for it or use another --scratch",
              path_);
}

Status EvalLog::Load(const json& settings) {
  CAIRN_TRY(const std::string content, ReadAll(fd_, path_));
  size_t whole = 0;  // bytes of lines that could be read
  for (int number = 1; whole < content.size(); ++number) {
    const size_t end = content.find('\n', whole);
    const std::string text = content.substr(whole, end - whole);
    const json line = json::parse(text, nullptr, false);
    const bool last = end == std::string::npos || end + 1 == content.size();
    if (number == 1) {
      if (!line.is_object() || !line.contains(kSettings)) {
        if (last && text.starts_with("{\"settings\"")) break;
        return Fail(Errc::kCorruption,
                    "{} does not begin with the settings of an evaluation; use another --scratch",
                    path_);
      }
      if (end == std::string::npos) break;
      CAIRN_TRY(CheckSettings(path_, line[kSettings], settings));
    } else {
      auto record = EvalRecord::FromJson(line);
      const bool readable = record.has_value() && end != std::string::npos;
      if (!readable && last) break;
      if (!readable) {
        return Fail(Errc::kCorruption,
                    "line {} of {} is damaged; remove the line and its text is read again", number,
                    path_);
      }
      records_.push_back(std::move(record).value());
    }
    whole = end + 1;
  }
  if (ftruncate(fd_, static_cast<off_t>(whole)) != 0) return SystemError("shorten", path_);
  return whole == 0 ? WriteLine({{kSettings, settings}}) : Ok();
}

bool EvalLog::Holds(int64_t length, int64_t text) const {
  return std::ranges::any_of(records_, [&](const EvalRecord& record) {
    return record.length == length && record.text == text;
  });
}

Status EvalLog::Append(EvalRecord record) {
  CAIRN_TRY(WriteLine(record.ToJson()));
  records_.push_back(std::move(record));
  return Ok();
}

Status EvalLog::WriteLine(const json& line) {
  const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(fd_, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("write", path_);
    written += static_cast<size_t>(count);
  }
  return fsync(fd_) == 0 ? Status(Ok()) : Status(SystemError("sync", path_));
}

}  // namespace cairn
