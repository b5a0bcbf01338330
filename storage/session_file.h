// The file of an exported session (docs/format.md): a header, and parts with a checksum each, the
// last of which has one over all.
//
// The writer makes the file beside its name and gives it the name when it is whole and synced; the
// reader hands out a part only if it is what was written. One thread each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/new_file.h"

namespace cairn {

/// The version of everything in a session file.
inline constexpr uint32_t kSessionFileVersion = 1;

/// Parts in the order in which they stand; those with nothing in them are left out.
enum class PartKind : uint32_t {
  kSession = 1,
  kTokens = 2,
  kTail = 3,
  kSection = 4,  ///< one each
  kBlocks = 5,   ///< some consecutive ones each
  kEnd = 6,
};

class SessionFileWriter {
 public:
  /// A file at `path` stays what it is until Finish (NewFile). What was not finished is removed
  /// with this.
  static Result<SessionFileWriter> Create(const std::string& path);

  Status Add(PartKind kind, std::string_view body);
  /// Adds the end; the file is there and survives power loss on return.
  Status Finish();
  uint64_t bytes() const { return bytes_; }

 private:
  explicit SessionFileWriter(NewFile file) : file_(std::move(file)) {}
  Status Write(std::string_view bytes);

  NewFile file_;
  uint32_t parts_ = 0;
  uint64_t bytes_ = 0;
  Hasher hasher_;
};

struct SessionFilePart {
  PartKind kind = PartKind::kEnd;
  std::string body{};
};

class SessionFileReader {
 public:
  /// kNotFound, kCorruption (no session file), kUnsupported (of a newer version).
  static Result<SessionFileReader> Open(const std::string& path);
  ~SessionFileReader();
  SessionFileReader(SessionFileReader&& other) noexcept;
  SessionFileReader& operator=(SessionFileReader&&) = delete;

  /// The next part; after the end part none may be asked for. kCorruption names the place.
  Result<SessionFilePart> Next();
  /// An error about the part that Next has given.
  Error Damaged(std::string_view what) const;

  uint64_t bytes() const { return bytes_; }
  uint64_t done_bytes() const { return offset_; }

 private:
  explicit SessionFileReader(std::string path) : path_(std::move(path)) {}
  Result<std::string> Read(uint64_t count);

  std::string path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;   // of the file
  uint64_t offset_ = 0;  // read so far
  uint64_t start_ = 0;   // of the part that was read last
  uint32_t parts_ = 0;
  Hasher hasher_;
};

}  // namespace cairn
