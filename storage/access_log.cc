// The reader of traces: a whole file, or an error that says what is wrong with it.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "storage/access_format.h"
#include "storage/access_trace.h"
#include "storage/byte_reader.h"

namespace cairn {
namespace {

constexpr size_t kChecksumBytes = 8;

Result<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind == std::filesystem::file_type::not_found) {
    return Fail(Errc::kNotFound, "there is no file {}; check the path of the trace", path);
  }
  if (kind != std::filesystem::file_type::regular) {
    return Fail(Errc::kInvalidArgument, "{} is not a regular file; name one that --trace wrote",
                path);
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (!file || (file.peek() != EOF && !(bytes << file.rdbuf()))) {
    return Fail(Errc::kIo, "cannot read {}: {}", path, std::strerror(errno));
  }
  return std::move(bytes).str();
}

Error Damaged(const std::string& path, uint32_t part, std::string_view what) {
  return Fail(Errc::kCorruption, "the trace {} is damaged in part {}: {}; record it again", path,
              part, what);
}

/// Gives the version.
Result<uint32_t> TakeHeader(const std::string& path, ByteReader& bytes) {
  if (bytes.TakeBytes(kTraceMagic.size()) != kTraceMagic) {
    return Fail(Errc::kCorruption, "{} is not a trace; name a file that --trace wrote", path);
  }
  const auto version = bytes.Take<uint32_t>();
  if (version > kTraceVersion) {
    return Fail(Errc::kUnsupported,
                "the trace {} has format {} and this program knows formats up to {}; use a newer "
                "cairn",
                path, version, kTraceVersion);
  }
  if (version == 0 || bytes.Take<uint32_t>() != 0) {
    return Damaged(path, 0, "its header is not what was written");
  }
  return version;
}

/// What stands behind the end part; nothing did in version 1.
Result<TraceSource> TakeEnd(const std::string& path, uint32_t part, uint32_t version,
                            ByteReader& bytes) {
  TraceSource source;
  if (version > 1) {
    const size_t size = TraceEnd(source).size();
    if (bytes.left() < size) return Damaged(path, part, "it is cut short behind the end part");
    const std::string_view end = bytes.TakeBytes(size);
    ByteReader values(end);
    source.store = values.Take<uint64_t>();
    source.session = values.Take<uint64_t>();
    if (end != TraceEnd(source)) return Damaged(path, part, "what is behind it is damaged");
  }
  if (bytes.left() > 0) return Damaged(path, part, "something stands behind the end");
  return source;
}

}  // namespace

Result<AccessLog> ReadAccessLog(const std::string& path) {
  std::string file;
  CAIRN_TRY(file, ReadFile(path));
  ByteReader bytes(file);
  CAIRN_TRY(const uint32_t version, TakeHeader(path, bytes));
  AccessLog log;
  for (uint32_t part = 0;; ++part) {
    const std::string_view head = bytes.TakeBytes(kTracePartHeadBytes);
    if (head.size() < kTracePartHeadBytes) return Damaged(path, part, "it is cut short");
    ByteReader values(head);
    const auto number = values.Take<uint32_t>();
    const auto body_bytes = values.Take<uint32_t>();
    if (uint64_t{body_bytes} + kChecksumBytes > bytes.left()) {
      return Damaged(path, part, "it is cut short, or its length is wrong");
    }
    const std::string_view body = bytes.TakeBytes(body_bytes);
    if (bytes.Take<uint64_t>() != TraceChecksum(head, body)) {
      return Damaged(path, part, "its checksum does not fit");
    }
    if (number != part) return Damaged(path, part, "it belongs to another place");
    if (!ParseAccesses(body, log)) return Damaged(path, part, "it is not what was written");
    if (!body.empty()) continue;
    CAIRN_TRY(log.source, TakeEnd(path, part, version, bytes));
    return log;
  }
}

}  // namespace cairn
