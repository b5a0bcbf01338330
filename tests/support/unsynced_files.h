// UnsyncedFiles: knows what a power cut would leave of the files in some directories.
//
// Told of every change to real files and of every sync, it keeps what the disk is sure to have:
// the bytes synced and the directory entries synced. Of all else Restore makes what a cut may
// leave: nothing, all, the first bytes, some sectors, some of the writes; a file may have its new
// size without its new bytes. Entries of a directory (creations, links, deletions) survive one by
// one or up to a point in time; a rename that survives takes along what happened before it in its
// directory, as journaling file systems do. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

class UnsyncedFiles {
 public:
  using FileId = uint64_t;

  /// What lies in `directories` now counts as synced. Those that do not exist yet are empty.
  explicit UnsyncedFiles(std::vector<std::string> directories);

  /// A path without repeated or trailing slashes, as all functions here want it.
  static std::string Normal(const std::string& path);

  // Each is called when the change has been made. Paths outside the directories are ignored.
  FileId Create(const std::string& path);  ///< a new file, in place of one of that name
  FileId Find(const std::string& path);    ///< 0 if there is none
  void Append(FileId file, std::string_view bytes);
  void Write(FileId file, uint64_t offset, std::string_view bytes);
  void Truncate(FileId file, uint64_t bytes);
  void Sync(FileId file);
  /// A sync that failed: what it was to write may be lost, and no later sync says so.
  void FailSync(FileId file);
  void Rename(const std::string& from, const std::string& to);
  void Link(const std::string& from, const std::string& to);
  void Delete(const std::string& path);
  void SyncDirectory(const std::string& path);

  /// Puts into the directories what a cut at this moment leaves; afterwards all is synced.
  void Restore(std::mt19937_64& random);

 private:
  struct Change {
    bool truncates = false;
    bool given_up = false;  // by a failed sync
    uint64_t offset = 0;    // or the new size
    std::string bytes{};
  };
  struct File {
    std::string synced{};
    std::vector<Change> unsynced{};
    uint64_t size_bytes = 0;
  };
  struct EntryChange {
    std::string directory;
    std::string removed{};  // paths; empty if none
    std::string added{};
    FileId file = 0;
  };

  void Load();
  bool Covers(const std::string& path) const;
  void Apply(const EntryChange& change);
  void KeepSomeEntries(std::mt19937_64& random);
  std::string Remains(const File& file, std::mt19937_64& random) const;

  const std::vector<std::string> directories_;
  std::mutex mutex_;
  FileId next_file_ = 1;
  std::map<FileId, File> files_;
  std::map<std::string, FileId> names_;   // as the process sees them
  std::map<std::string, FileId> synced_;  // as the disk is sure to have them
  std::vector<EntryChange> entries_;      // what happened between the two, in order
};

}  // namespace cairn::test
