#include "tools/text_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

namespace cairn {

Result<std::string> ReadText(const std::string& path) {
  const bool standard_input = path == "-";
  std::unique_ptr<FILE, int (*)(FILE*)> owned(nullptr, std::fclose);
  FILE* file = stdin;
  if (!standard_input) {
    owned.reset(std::fopen(path.c_str(), "rb"));
    file = owned.get();
    if (file == nullptr) {
      return Fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, "cannot read {}: {}", path,
                  std::strerror(errno));
    }
  }
  std::string text;
  std::vector<char> buffer(1 << 20);
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), file)) {
    text.append(buffer.data(), count);
  }
  if (std::ferror(file) != 0) {
    return Fail(Errc::kIo, "cannot read {}: {}", path, std::strerror(errno));
  }
  if (text.empty()) {
    return Fail(Errc::kInvalidArgument, "{} is empty; there is nothing to read",
                standard_input ? "standard input" : path);
  }
  return text;
}

Status WriteTextAtomically(const std::string& path, const std::string& text) {
  const std::string beside = path + ".new";
  FILE* file = std::fopen(beside.c_str(), "wb");
  bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file != nullptr && std::fclose(file) != 0) written = false;
  if (written && std::rename(beside.c_str(), path.c_str()) == 0) return Ok();
  const int code = errno;
  if (file != nullptr) std::remove(beside.c_str());
  return Fail(Errc::kIo, "cannot write {}: {}", path, std::strerror(code));
}

Status CheckTarget(const std::string& path) {
  std::error_code ignored;
  const auto parent = std::filesystem::absolute(path, ignored).parent_path();
  if (path.empty() || std::filesystem::is_directory(parent, ignored)) return Ok();
  return Fail(Errc::kNotFound, "cannot write {}: there is no directory {}; create it first", path,
              parent.string());
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
