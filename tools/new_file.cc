#include "tools/new_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace cairn {
namespace {

namespace fs = std::filesystem;

Error CannotWrite(const std::string& path, int code) {
  return Fail(code == ENOSPC ? Errc::kOutOfSpace : Errc::kIo, "cannot write {}: {}", path,
              std::strerror(code));
}

}  // namespace

Status CheckNewFile(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    return Fail(Errc::kInvalidArgument, "{} is a directory; name a file", path);
  }
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (access(folder.c_str(), W_OK) == 0) return Ok();
  return CannotWrite(path, errno);
}

Status WriteNewFile(const std::string& path, std::string_view text) {
  const std::string unfinished = path + ".new";
  std::FILE* file = std::fopen(unfinished.c_str(), "wb");
  if (file == nullptr) return CannotWrite(path, errno);
  bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  good = std::fflush(file) == 0 && good;
  good = fsync(fileno(file)) == 0 && good;
  const int code = errno;
  good = std::fclose(file) == 0 && good;
  if (good && std::rename(unfinished.c_str(), path.c_str()) == 0) return Ok();
  std::remove(unfinished.c_str());
  return CannotWrite(path, good ? errno : code);
}

}  // namespace cairn
