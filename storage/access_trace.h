// AccessTrace: a record of what a TieredStore was asked for, written to a file as it happens, so
// that policies of eviction can be compared on it (docs/format.md, "The file of a trace").
//
// Thread-safe; buffers about 64 KiB. A write that fails is remembered and told by Finish: what is
// being traced goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/new_file.h"
#include "storage/block_id.h"

namespace cairn {

/// The version of everything in a trace file.
inline constexpr uint32_t kTraceVersion = 2;

enum class AccessKind : uint8_t {
  kFetch = 0,    ///< blocks wanted in memory at once, in the order asked for, repetitions included
  kSeal = 1,     ///< one block, made in memory
  kDiscard = 2,  ///< one id: all blocks of its extent from its ordinal on are forgotten
};

/// Whose blocks a trace has.
struct TraceSource {
  uint64_t store = 0;    ///< ColdStoreStats::identity; 0: not known, or several
  uint64_t session = 0;  ///< SessionRecord::id; 0: not known, or several

  bool operator==(const TraceSource&) const = default;
};

class AccessTrace {
 public:
  /// As NewFile writes: a file at `path` stays what it is until Finish, which replaces it. What was
  /// not finished is removed with this.
  static Result<std::unique_ptr<AccessTrace>> Create(const std::string& path);
  AccessTrace(const AccessTrace&) = delete;
  AccessTrace& operator=(const AccessTrace&) = delete;

  void Record(AccessKind kind, std::span<const BlockId> ids);
  /// A session was opened whose accesses are recorded from now on.
  void AddSource(const TraceSource& source);
  /// Nothing was recorded.
  bool empty();
  /// Ends the file and gives it its name; the first error there was. Call once, after the last
  /// Record.
  Status Finish();

 private:
  explicit AccessTrace(NewFile file) : file_(std::move(file)) {}
  /// Writes the buffer as one part; an empty one is the end.
  Status WritePart();

  std::mutex mutex_;
  NewFile file_;
  uint32_t parts_ = 0;
  std::string body_;
  BlockId previous_;
  Status status_ = Ok();
  std::optional<TraceSource> source_;
};

/// A trace that was read: what happened, in order.
struct AccessLog {
  struct Event {
    AccessKind kind = AccessKind::kFetch;
    size_t first = 0;  ///< of its ids
    size_t count = 0;
  };
  TraceSource source{};
  std::vector<Event> events{};
  std::vector<BlockId> ids{};

  std::span<const BlockId> Of(const Event& event) const {
    return {ids.data() + event.first, event.count};
  }
};

/// Reads a whole trace. kNotFound; kCorruption (no trace, damaged or cut short); kUnsupported (of
/// a newer version).
Result<AccessLog> ReadAccessLog(const std::string& path);

}  // namespace cairn
