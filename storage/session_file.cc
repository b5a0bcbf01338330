#include "storage/session_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "storage/byte_reader.h"
#include "storage/store_directory.h"

namespace cairn {
namespace {

constexpr std::string_view kMagic = "CAIRNSES";
constexpr size_t kHeaderBytes = 16;
constexpr size_t kPartHeadBytes = 16;
constexpr size_t kChecksumBytes = 8;

std::string PartHead(PartKind kind, uint32_t number, uint64_t body_bytes) {
  std::string head;
  AppendBytes(head, static_cast<uint32_t>(kind));
  AppendBytes(head, number);
  AppendBytes(head, body_bytes);
  return head;
}

uint64_t Checksum(std::string_view head, std::string_view body) {
  return Hash64(body.data(), body.size(), Hash64(head.data(), head.size()));
}

}  // namespace

Result<SessionFileWriter> SessionFileWriter::Create(const std::string& path) {
  CAIRN_TRY(NewFile file, NewFile::Create(path, 0600));
  SessionFileWriter writer(std::move(file));
  std::string header(kMagic);
  AppendBytes(header, kSessionFileVersion);
  AppendBytes(header, uint32_t{0});
  CAIRN_TRY(writer.Write(header));
  return writer;
}

Status SessionFileWriter::Write(std::string_view bytes) {
  hasher_.Update(bytes);
  bytes_ += bytes.size();
  return file_.Write(bytes);
}

Status SessionFileWriter::Add(PartKind kind, std::string_view body) {
  const std::string head = PartHead(kind, parts_++, body.size());
  std::string checksum;
  AppendBytes(checksum, Checksum(head, body));
  CAIRN_TRY(Write(head));
  CAIRN_TRY(Write(body));
  return Write(checksum);
}

Status SessionFileWriter::Finish() {
  CAIRN_TRY(Add(PartKind::kEnd, hasher_.Hex()));
  return file_.Finish();
}

Result<SessionFileReader> SessionFileReader::Open(const std::string& path) {
  SessionFileReader reader(path);
  reader.fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader.fd_ < 0 && errno == ENOENT) {
    return Fail(Errc::kNotFound, "there is no file {}; check the path", path);
  }
  if (reader.fd_ < 0) return SystemError("open", path);
  struct stat info {};
  if (fstat(reader.fd_, &info) != 0) return SystemError("look at", path);
  if (!S_ISREG(info.st_mode)) {
    return Fail(Errc::kInvalidArgument,
                "{} is not a regular file; name one that `sessions export` "
                "wrote",
                path);
  }
  reader.bytes_ = static_cast<uint64_t>(info.st_size);
  std::string header;
  if (reader.bytes_ >= kHeaderBytes) {
    CAIRN_TRY(header, reader.Read(kHeaderBytes));
  }
  if (!header.starts_with(kMagic)) {
    return Fail(Errc::kCorruption,
                "{} is not the file of a session; name one that `sessions "
                "export` wrote",
                path);
  }
  ByteReader values(std::string_view(header).substr(kMagic.size()));
  const auto version = values.Take<uint32_t>();
  if (version > kSessionFileVersion) {
    return Fail(Errc::kUnsupported,
                "{} has format {} and this program knows formats up to {}; use a newer cairn", path,
                version, kSessionFileVersion);
  }
  if (version == 0 || values.Take<uint32_t>() != 0) {
    return reader.Damaged("its header is not what was written");
  }
  reader.hasher_.Update(header);
  return reader;
}

SessionFileReader::~SessionFileReader() {
  if (fd_ >= 0) close(fd_);
}

SessionFileReader::SessionFileReader(SessionFileReader&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      bytes_(other.bytes_),
      offset_(other.offset_),
      start_(other.start_),
      parts_(other.parts_),
      hasher_(std::move(other.hasher_)) {}

Error SessionFileReader::Damaged(std::string_view what) const {
  return Fail(Errc::kCorruption,
              "{} is damaged in part {}, at byte {}: {}; nothing was imported, export the session "
              "again or use another copy",
              path_, parts_, start_, what);
}

Result<std::string> SessionFileReader::Read(uint64_t count) {
  if (count > bytes_ - offset_) {
    return Damaged(
        fmt::format("it is cut short, {} bytes are missing", count - (bytes_ - offset_)));
  }
  std::string bytes(count, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = read(fd_, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read", path_);
    if (got == 0) return Damaged("it has become shorter while it was read");
    done += static_cast<size_t>(got);
  }
  offset_ += count;
  return bytes;
}

Result<SessionFilePart> SessionFileReader::Next() {
  start_ = offset_;
  ++parts_;
  std::string head;
  CAIRN_TRY(head, Read(kPartHeadBytes));
  ByteReader values(head);
  SessionFilePart part;
  part.kind = static_cast<PartKind>(values.Take<uint32_t>());
  const auto number = values.Take<uint32_t>();
  const auto body_bytes = values.Take<uint64_t>();
  // A damaged length must not ask for memory that the file does not fill.
  if (body_bytes > bytes_ - offset_) return Damaged("it is cut short, or its length is wrong");
  CAIRN_TRY(part.body, Read(body_bytes));
  CAIRN_TRY(const std::string tail, Read(kChecksumBytes));
  if (ByteReader(tail).Take<uint64_t>() != Checksum(head, part.body)) {
    return Damaged("its checksum does not fit");
  }
  if (number != parts_ - 1) return Damaged("it belongs to another place");
  if (part.kind == PartKind::kEnd) {
    if (part.body != hasher_.Hex()) return Damaged("the checksum of the whole does not fit");
    if (offset_ != bytes_) return Damaged("something stands behind the end");
    return part;
  }
  hasher_.Update(head);
  hasher_.Update(part.body);
  hasher_.Update(tail);
  return part;
}

}  // namespace cairn
