#include "tests/support/unsynced_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "base/check.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

std::string Contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void SetContents(const std::string& path, const std::string& bytes) {
  fs::remove(path);  // a link to another file stays as it is
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  CAIRN_CHECK(file.flush().good());
}

void Put(std::string& file, uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (file.size() < offset + bytes.size()) file.resize(offset + bytes.size());
  std::ranges::copy(bytes, file.begin() + static_cast<std::ptrdiff_t>(offset));
}

void Shorten(std::string& file, uint64_t bytes) {
  if (file.size() > bytes) file.resize(bytes);
}

bool Coin(std::mt19937_64& random) { return (random() & 1) != 0; }

/// How the unsynced bytes of one file survive.
enum class Survival { kNothing, kAll, kFirstBytes, kSmallSectors, kLargeSectors, kSomeWrites };
constexpr uint64_t kSurvivals = 6;

/// Puts each sector of a write on its own, or not.
void PutSomeSectors(std::string& file, uint64_t offset, std::string_view bytes, uint64_t sector,
                    std::mt19937_64& random) {
  while (!bytes.empty()) {
    const uint64_t piece = std::min<uint64_t>(bytes.size(), sector - offset % sector);
    if (Coin(random)) Put(file, offset, bytes.substr(0, piece));
    bytes.remove_prefix(piece);
    offset += piece;
  }
}

}  // namespace

UnsyncedFiles::UnsyncedFiles(std::vector<std::string> directories)
    : directories_(std::move(directories)) {
  Load();
}

std::string UnsyncedFiles::Normal(const std::string& path) {
  std::string normal = fs::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

bool UnsyncedFiles::Covers(const std::string& path) const {
  const std::string parent = fs::path(path).parent_path().string();
  return std::ranges::find(directories_, parent) != directories_.end();
}

void UnsyncedFiles::Load() {
  files_.clear();
  names_.clear();
  entries_.clear();
  for (const std::string& directory : directories_) {
    if (!fs::exists(directory)) continue;
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (!entry.is_regular_file()) continue;
      File file{.synced = Contents(entry.path())};
      file.size_bytes = file.synced.size();
      names_[entry.path().string()] = next_file_;
      files_[next_file_++] = std::move(file);
    }
  }
  synced_ = names_;
}

UnsyncedFiles::FileId UnsyncedFiles::Create(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const FileId id = next_file_++;
  files_[id] = File();
  if (!Covers(path)) return id;
  entries_.push_back({fs::path(path).parent_path().string(), "", path, id});
  names_[path] = id;
  return id;
}

UnsyncedFiles::FileId UnsyncedFiles::Find(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? 0 : found->second;
}

void UnsyncedFiles::Append(FileId file, std::string_view bytes) {
  uint64_t end;
  {
    const std::lock_guard lock(mutex_);
    end = files_[file].size_bytes;
  }
  Write(file, end, bytes);
}

void UnsyncedFiles::Write(FileId id, uint64_t offset, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  File& file = files_[id];
  file.unsynced.push_back({.offset = offset, .bytes = std::string(bytes)});
  file.size_bytes = std::max(file.size_bytes, offset + bytes.size());
}

void UnsyncedFiles::Truncate(FileId id, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  File& file = files_[id];
  file.unsynced.push_back({.truncates = true, .offset = bytes});
  file.size_bytes = bytes;
}

void UnsyncedFiles::Sync(FileId id) {
  const std::lock_guard lock(mutex_);
  File& file = files_[id];
  std::erase_if(file.unsynced, [&](const Change& change) {
    if (change.given_up) return false;
    if (change.truncates) {
      Shorten(file.synced, change.offset);
    } else {
      Put(file.synced, change.offset, change.bytes);
    }
    return true;
  });
}

void UnsyncedFiles::FailSync(FileId id) {
  const std::lock_guard lock(mutex_);
  for (Change& change : files_[id].unsynced) change.given_up = true;
}

void UnsyncedFiles::Rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(from);
  if (found == names_.end()) return;
  const FileId id = found->second;
  entries_.push_back({fs::path(to).parent_path().string(), from, to, id});
  names_.erase(found);
  names_[to] = id;
}

void UnsyncedFiles::Link(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(from);
  if (found == names_.end()) return;
  entries_.push_back({fs::path(to).parent_path().string(), "", to, found->second});
  names_[to] = found->second;
}

void UnsyncedFiles::Delete(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  if (found == names_.end()) return;
  entries_.push_back({fs::path(path).parent_path().string(), path, "", found->second});
  names_.erase(found);
}

void UnsyncedFiles::SyncDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const EntryChange& change) {
    if (change.directory != path) return false;
    Apply(change);
    return true;
  });
}

void UnsyncedFiles::Apply(const EntryChange& change) {
  const auto removed = synced_.find(change.removed);
  if (removed != synced_.end() && removed->second == change.file) synced_.erase(removed);
  if (!change.added.empty()) synced_[change.added] = change.file;
}

void UnsyncedFiles::KeepSomeEntries(std::mt19937_64& random) {
  const bool in_order = Coin(random);
  const uint64_t until = random() % (entries_.size() + 1);
  std::vector<bool> kept(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) kept[i] = in_order ? i < until : Coin(random);
  std::set<std::string> renamed_later;  // directories
  for (size_t i = entries_.size(); i-- > 0;) {
    const EntryChange& change = entries_[i];
    const bool rename = !change.removed.empty() && !change.added.empty();
    if (renamed_later.contains(change.directory)) kept[i] = true;
    if (rename && kept[i]) renamed_later.insert(change.directory);
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (kept[i]) Apply(entries_[i]);
  }
}

std::string UnsyncedFiles::Remains(const File& file, std::mt19937_64& random) const {
  std::string bytes = file.synced;
  const auto survival = static_cast<Survival>(random() % kSurvivals);
  const bool new_size = random() % 4 == 0;
  uint64_t left_bytes = 0;
  for (const Change& change : file.unsynced) left_bytes += change.bytes.size();
  left_bytes = left_bytes == 0 ? 0 : random() % left_bytes;
  for (const Change& change : file.unsynced) {
    const std::string_view written = change.bytes;
    const bool whole = survival == Survival::kAll || Coin(random);
    if (change.truncates) {
      if (survival != Survival::kNothing && whole) Shorten(bytes, change.offset);
    } else if (survival == Survival::kFirstBytes) {
      Put(bytes, change.offset, written.substr(0, left_bytes));
      left_bytes -= std::min<uint64_t>(left_bytes, written.size());
    } else if (survival == Survival::kSmallSectors || survival == Survival::kLargeSectors) {
      const uint64_t sector = survival == Survival::kSmallSectors ? 512 : 4096;
      PutSomeSectors(bytes, change.offset, written, sector, random);
    } else if (survival != Survival::kNothing && whole) {
      Put(bytes, change.offset, written);
    }
  }
  if (new_size && bytes.size() < file.size_bytes) bytes.resize(file.size_bytes);
  return bytes;
}

void UnsyncedFiles::Restore(std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  KeepSomeEntries(random);
  std::map<FileId, std::string> remains;  // one choice per file, whatever its names
  for (const auto& [path, id] : synced_) {
    const File& file = files_[id];
    const auto name = names_.find(path);
    const bool as_it_is = name != names_.end() && name->second == id;
    if (file.unsynced.empty() && as_it_is) continue;
    if (!remains.contains(id)) remains[id] = Remains(file, random);
    SetContents(path, remains[id]);
  }
  for (const std::string& directory : directories_) {
    if (!fs::exists(directory)) continue;
    std::vector<fs::path> lost;
    for (const auto& entry : fs::directory_iterator(directory)) {
      const bool kept = synced_.contains(entry.path().string());
      if (entry.is_regular_file() && !kept) lost.push_back(entry.path());
    }
    for (const fs::path& path : lost) fs::remove(path);
  }
  Load();
}

}  // namespace cairn::test
