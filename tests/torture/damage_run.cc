#include "tests/torture/damage_run.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "tests/support/store_writer.h"
#include "tests/torture/own_process.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

const RocksColdStoreOptions kSmallStore = {
    .read_threads = 1, .write_threads = 1, .meta_buffer_bytes = 64 << 10};
constexpr int kSteps = 220;

std::string Contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void SetContents(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<fs::path> FilesOf(const std::string& store) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(store)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// That a log is lost, or cut short between two records, is only noticed of the last one.
bool IsOlderLog(const fs::path& file) {
  if (file.extension() != ".log") return false;
  for (const auto& entry : fs::directory_iterator(file.parent_path())) {
    if (entry.path().extension() == ".log" && entry.path() > file) return true;
  }
  return false;
}

/// kHarmless if all is as the model says, kDetected if anything is an error, else kWrong.
int Compare(ColdStore& store, const SessionCatalog& catalog, StoreModel& model) {
  const auto found = catalog.List();
  if (!found) return kDetected;
  int verdict = kHarmless;
  const size_t count = found.value().sessions.size() + found.value().unreadable.size();
  if (count != model.sessions.size()) {
    std::fprintf(stderr, "%zu sessions instead of %zu\n", count, model.sessions.size());
    return kWrong;
  }
  for (auto& [name, session] : model.sessions) {
    const Status status = CompareSession(store, catalog, name, session);
    if (status) continue;
    if (status.error().code == Errc::kMismatch) {
      std::fprintf(stderr, "%s\n", status.error().message.c_str());
      return kWrong;
    }
    verdict = kDetected;
  }
  return verdict;
}

int OpenAndCompare(const std::string& path, bool read_only, StoreModel model) {
  RocksColdStoreOptions options = kSmallStore;
  options.read_only = read_only;
  options.create = !read_only;
  const auto store = RocksColdStore::Open(path, options);
  if (!store) return kDetected;
  const auto catalog = SessionCatalog::Open(*store.value(), read_only);
  if (!catalog) return kDetected;
  return Compare(*store.value(), catalog.value(), model);
}

}  // namespace

DamageCounts& DamageCounts::operator+=(const DamageCounts& other) {
  damaged += other.damaged;
  detected += other.detected;
  harmless += other.harmless;
  ended += other.ended;
  return *this;
}

int Examine(const std::string& store, const std::string& notes) {
  const StoreModel model = StoreModel::FromText(Contents(notes));
  const int read = OpenAndCompare(store, /*read_only=*/true, model);
  const int written = OpenAndCompare(store, /*read_only=*/false, model);
  return std::max(read, written);
}

Status DamageRun::MakePristine() {
  fs::create_directories(path_);
  StoreWriter writer(pristine(), kSmallStore, random_());
  CAIRN_TRY(writer.Open());
  for (int step = 0; step < kSteps || writer.told().sessions.empty(); ++step) {
    CAIRN_TRY(writer.Step());
  }
  SetContents(notes(), writer.told().ToText());
  return Ok();
}

std::string DamageRun::Damage() {
  const std::vector<fs::path> files = FilesOf(store());
  const fs::path& file = files[random_() % files.size()];
  const fs::path& other = files[random_() % files.size()];
  const std::string name = file.filename().string();
  std::string bytes = Contents(file);
  const uint64_t at = bytes.empty() ? 0 : random_() % bytes.size();
  const bool only_flip = IsOlderLog(file) || IsOlderLog(other);
  switch (only_flip ? 5 : random_() % 6) {
    case 0:
      SetContents(file, bytes.substr(0, at));
      return name + " cut to " + std::to_string(at);
    case 1: {
      const uint64_t page = random_() % 2 == 0 ? 512 : 4096;
      const uint64_t first = at / page * page;
      const uint64_t count = std::min<uint64_t>(page, bytes.size() - first);
      bytes.replace(first, count, count, '\0');
      SetContents(file, bytes);
      return name + " zeros from " + std::to_string(first);
    }
    case 2: {
      SetContents(file, Contents(other));
      SetContents(other, bytes);
      return name + " changed for " + other.filename().string();
    }
    case 3:
      if (random_() % 2 == 0) break;
      fs::remove(file);
      return name + " lost";
    default:
      break;
  }
  if (bytes.empty()) return name + " left as it is";
  bytes[at] = static_cast<char>(bytes[at] ^ (1 << random_() % 8));
  SetContents(file, bytes);
  return name + " flipped at " + std::to_string(at);
}

Status DamageRun::Round() {
  if (!fs::exists(pristine())) CAIRN_TRY(MakePristine());
  fs::remove_all(store());
  fs::copy(pristine(), store(), fs::copy_options::recursive);
  const std::string damage = Damage();
  CAIRN_TRY(const pid_t child, StartOwnProcess({"--examine", store(), "--notes", notes()}));
  int status = 0;
  if (waitpid(child, &status, 0) != child) return Fail(Errc::kIo, "the examiner is lost");
  ++counts_.damaged;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
    std::fprintf(stderr, "ended in an assertion: %s\n", damage.c_str());
    ++counts_.ended;
    return Ok();
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kHarmless) {
    ++counts_.harmless;
    return Ok();
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kDetected) {
    ++counts_.detected;
    return Ok();
  }
  return Fail(Errc::kMismatch, "{}: something was read that was never written (status {:#x})",
              damage, status);
}

}  // namespace cairn::test
