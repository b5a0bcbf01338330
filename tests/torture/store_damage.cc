#include "tests/torture/store_damage.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "storage/block_run.h"
#include "storage/rocks_cold_store.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

std::string Contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

using Range = StoreDamage::Range;

/// A page of the file; the last one may be short.
Range AnyPage(const std::string& file, size_t page, std::mt19937_64& random) {
  const size_t first = random() % file.size() / page * page;
  return {first, std::min(page, file.size() - first)};
}

/// Exchanges two ranges that do not overlap, as far as both reach.
void Swap(std::string& file, Range a, Range b) {
  const size_t bytes = std::min(a.bytes, b.bytes);
  std::swap_ranges(file.begin() + static_cast<ptrdiff_t>(a.first),
                   file.begin() + static_cast<ptrdiff_t>(a.first + bytes),
                   file.begin() + static_cast<ptrdiff_t>(b.first));
}

std::string Flip(std::string& file, std::mt19937_64& random) {
  std::string where;
  for (uint64_t count = random() % 4 == 0 ? 3 : 1; count > 0; --count) {
    const size_t at = random() % file.size();
    file[at] = static_cast<char>(file[at] ^ (1 << random() % 8));
    where += " " + std::to_string(at);
  }
  return "flipped at" + where;
}

}  // namespace

const char* DamageName(DamageKind kind) {
  constexpr const char* kNames[kDamageKinds] = {"bits_flipped",  "cut_short",      "pages_zeroed",
                                                "pages_swapped", "blocks_swapped", "pages_stale",
                                                "files_swapped", "files_lost"};
  return kNames[static_cast<size_t>(kind)];
}

StoreDamage::StoreDamage(const fs::path& pristine, fs::path store) : store_(std::move(store)) {
  fs::remove_all(store_);
  fs::create_directories(store_);
  fs::permissions(store_, fs::perms::owner_all);
  for (const auto& entry : fs::recursive_directory_iterator(pristine)) {
    if (!entry.is_regular_file()) continue;
    const fs::path name = entry.path().lexically_relative(pristine);
    files_[name.string()] = Contents(entry.path());
    fs::create_directories(store_ / name.parent_path());
  }
  fs::create_directories(store_ / "blocks");
  FindBlocks(pristine);
}

/// Where the catalog says that they lie.
void StoreDamage::FindBlocks(const fs::path& pristine) {
  const auto store =
      RocksColdStore::Open(pristine.string(), {.read_only = true, .read_threads = 1});
  if (!store) return;
  const auto entries = store.value()->ScanMeta(kRunPrefix);
  if (!entries) return;
  for (const auto& [key, value] : entries.value()) {
    const auto run = DecodeRun(key, value);
    if (!run) continue;
    const std::string name = fmt::format("blocks/{:08}.seg", run.value().segment);
    for (uint32_t i = 0; i < run.value().blocks; ++i) {
      const uint64_t first = run.value().offset + uint64_t{i} * run.value().payload_bytes;
      blocks_[name].push_back({first, run.value().payload_bytes});
    }
  }
}

bool StoreDamage::IsOlderLog(const std::string& name) const {
  if (fs::path(name).extension() != ".log") return false;
  return std::ranges::any_of(files_, [&](const auto& file) {
    return fs::path(file.first).extension() == ".log" && file.first > name;
  });
}

std::string StoreDamage::Change(Changes& changed, std::mt19937_64& random, DamageKind* kind) const {
  const auto any = [&] { return std::next(files_.begin(), random() % files_.size()); };
  const auto file = any(), other = any();
  const std::string name = file->first;
  // Most files are small and few hold the payloads: bits are flipped everywhere alike, half the
  // time.
  *kind = random() % 2 == 0 ? DamageKind::kFlip : DamageKind(random() % kDamageKinds);
  if (IsOlderLog(name) || IsOlderLog(other->first)) *kind = DamageKind::kFlip;
  if (*kind == DamageKind::kSwapFiles) {
    changed[name] = other->second;
    changed[other->first] = file->second;
    return name + " changed for " + other->first;
  }
  if (*kind == DamageKind::kLost) {
    changed[name] = std::nullopt;
    return name + " lost";
  }
  std::string& bytes = changed[name].emplace(file->second);
  if (bytes.empty()) return name + " left as it is";
  const size_t page = random() % 2 == 0 ? 512 : 4096;
  Range a = AnyPage(bytes, page, random), b = AnyPage(bytes, page, random);
  if (*kind == DamageKind::kSwapBlocks) {
    const auto found = blocks_.find(name);
    const std::vector<Range> blocks = found == blocks_.end() ? std::vector<Range>() : found->second;
    if (blocks.size() < 2) *kind = DamageKind::kSwapPages;
    if (blocks.size() >= 2) a = blocks[random() % blocks.size()];
    if (blocks.size() >= 2) b = blocks[random() % blocks.size()];
  }
  const std::string where = std::to_string(a.first);
  switch (*kind) {
    case DamageKind::kCut: {
      const size_t end = random() % bytes.size();
      bytes.resize(end);
      return name + " cut to " + std::to_string(end);
    }
    case DamageKind::kZeros:
      bytes.replace(a.first, a.bytes, a.bytes, '\0');
      return name + " zeros from " + where;
    case DamageKind::kSwapPages:
    case DamageKind::kSwapBlocks:
      Swap(bytes, a, b);
      return name + " has " + where + " and " + std::to_string(b.first) + " swapped";
    case DamageKind::kOldPage:
      bytes.replace(a.first, a.bytes, bytes.substr(b.first, a.bytes));
      return name + " has " + std::to_string(b.first) + " also at " + where;
    default:
      return name + " " + Flip(bytes, random);
  }
}

/// What a writer has added to the store since, or found lost.
void StoreDamage::RemoveOthers() const {
  std::vector<fs::path> others;
  for (const auto& entry : fs::recursive_directory_iterator(store_)) {
    if (entry.is_directory()) continue;
    const fs::path name = entry.path().lexically_relative(store_);
    if (!files_.contains(name.string())) others.push_back(entry.path());
  }
  for (const fs::path& path : others) fs::remove(path);
}

/// Nobody writes to a table file in place, and nobody reads what is in the reserve. In a segment a
/// writer may have punched holes.
bool StoreDamage::IsAsItWas(const std::string& name) const {
  if (damaged_.contains(name) || !(name.ends_with(".sst") || name == "reserve")) return false;
  std::error_code missing;
  return fs::file_size(store_ / name, missing) == files_.at(name).size() && !missing;
}

void StoreDamage::Write(const std::string& name, const std::string& bytes) const {
  std::ofstream(store_ / name, std::ios::binary) << bytes;
}

std::string StoreDamage::Damage(std::mt19937_64& random, DamageKind* kind) {
  RemoveOthers();
  for (const auto& [name, bytes] : files_) {
    if (!IsAsItWas(name)) Write(name, bytes);
  }
  Changes changed;
  const std::string what = Change(changed, random, kind);
  damaged_.clear();
  for (const auto& [name, bytes] : changed) {
    damaged_.insert(name);
    fs::remove(store_ / name);
    if (bytes) Write(name, *bytes);
  }
  return what;
}

}  // namespace cairn::test
