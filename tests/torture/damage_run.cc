#include "tests/torture/damage_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include "tests/support/store_writer.h"
#include "tests/torture/own_process.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

const RocksColdStoreOptions kSmallStore = {
    .read_threads = 1, .write_threads = 1, .meta_buffer_bytes = 64 << 10};
constexpr uint64_t kLeastSteps = 10, kMostSteps = 40;  // of a store's writer
constexpr uint64_t kDamages = 100;                     // of one store, one after the other
constexpr uint64_t kOpenRounds = 1000;
constexpr unsigned kMostSeconds = 120;  // for one of them
constexpr auto kLook = std::chrono::milliseconds(20);
constexpr int kWrong = 11;  // the exit status

/// What the process of its own has done so far; both see it, so an assertion loses nothing of it.
struct Progress {
  DamageCounts counts;
  char what[256];  ///< is wrong with the store it looks at
};

/// The file of that name in a run's directory, mapped. Null if that fails.
Progress* MapProgress(const std::string& path) {
  const int fd = open((path + "/progress").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return nullptr;
  void* memory = MAP_FAILED;
  if (ftruncate(fd, sizeof(Progress)) == 0) {
    memory = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<Progress*>(memory);
}

enum class Verdict { kHarmless, kDetected, kWrong };

/// kHarmless if all is as the model says, kDetected if anything is an error.
Verdict Compare(ColdStore& store, const SessionCatalog& catalog, StoreModel& model) {
  const auto found = catalog.List();
  if (!found) return Verdict::kDetected;
  Verdict verdict = Verdict::kHarmless;
  const size_t count = found.value().sessions.size() + found.value().unreadable.size();
  if (count != model.sessions.size()) {
    std::fprintf(stderr, "%zu sessions instead of %zu\n", count, model.sessions.size());
    return Verdict::kWrong;
  }
  for (auto& [name, session] : model.sessions) {
    const Status status = CompareSession(store, catalog, name, session);
    if (status) continue;
    if (status.error().code == Errc::kMismatch) {
      std::fprintf(stderr, "%s\n", status.error().message.c_str());
      return Verdict::kWrong;
    }
    verdict = Verdict::kDetected;
  }
  return verdict;
}

Verdict OpenAndCompare(const std::string& path, bool read_only, BlockReads reads,
                       StoreModel model) {
  RocksColdStoreOptions options = kSmallStore;
  options.block_reads = reads;
  options.read_only = read_only;
  options.create = !read_only;
  const auto store = RocksColdStore::Open(path, options);
  if (!store) return Verdict::kDetected;
  const auto catalog = SessionCatalog::Open(*store.value(), read_only);
  if (!catalog) return Verdict::kDetected;
  return Compare(*store.value(), catalog.value(), model);
}

/// Many damages of records, while a whole copy of the store stays open.
Status DamageRecords(const std::string& path, const StoreModel& model, std::mt19937_64& random,
                     OpenDamageCounts* counts) {
  fs::remove_all(path + "/store");
  fs::copy(path + "/pristine", path + "/store", fs::copy_options::recursive);
  CAIRN_TRY(const auto open, OpenDamage::Open(path + "/store", model));
  if (open->blocks() == 0) return Ok();
  for (uint64_t round = 0; round < kOpenRounds; ++round) CAIRN_TRY(open->Round(random, counts));
  return Ok();
}

/// Waits for a process that examines; ends it by SIGALRM if it gets no further. Only time in which
/// this process runs counts: both may be stopped for long.
Result<int> WaitForExaminer(pid_t child, Progress* progress) {
  const auto done = [&] {
    return std::atomic_ref(progress->counts.damaged).load() +
           std::atomic_ref(progress->counts.open.damaged).load();
  };
  uint64_t before = done();
  int status = 0;
  for (std::chrono::milliseconds idle{0};; idle += kLook) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0) return Fail(Errc::kIo, "the examiner is lost");
    std::this_thread::sleep_for(kLook);
    const uint64_t now = done();
    if (now != before) idle = {};
    before = now;
    if (idle >= std::chrono::seconds(kMostSeconds)) kill(child, SIGALRM);
  }
}

}  // namespace

DamageCounts& DamageCounts::operator+=(const DamageCounts& other) {
  damaged += other.damaged;
  detected += other.detected;
  harmless += other.harmless;
  ended += other.ended;
  for (size_t i = 0; i < kinds.size(); ++i) kinds[i] += other.kinds[i];
  open += other.open;
  return *this;
}

int ExamineDamaged(const std::string& path, uint64_t seed) {
  EndWithParent();
  Progress* progress = MapProgress(path);
  if (progress == nullptr) return 2;
  std::ifstream notes(path + "/notes");
  const StoreModel model = StoreModel::FromText(
      std::string(std::istreambuf_iterator<char>(notes), std::istreambuf_iterator<char>()));
  const std::string store = path + "/store";
  StoreDamage damage(path + "/pristine", store);
  std::mt19937_64 random(seed);
  DamageCounts& counts = progress->counts;
  while (counts.damaged < kDamages) {
    DamageKind kind{};
    const std::string what = damage.Damage(random, &kind);
    std::snprintf(progress->what, sizeof progress->what, "%s", what.c_str());
    ++counts.damaged;
    ++counts.kinds[static_cast<size_t>(kind)];
    const auto reads = BlockReads(random() % 2);
    const Verdict read = OpenAndCompare(store, /*read_only=*/true, reads, model);
    const Verdict written = OpenAndCompare(store, /*read_only=*/false, reads, model);
    const Verdict verdict = std::max(read, written);
    if (verdict == Verdict::kWrong) return kWrong;
    ++(verdict == Verdict::kHarmless ? counts.harmless : counts.detected);
  }
  std::snprintf(progress->what, sizeof progress->what, "blocks of an open store");
  const Status status = DamageRecords(path, model, random, &counts.open);
  if (status) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return kWrong;
}

Status DamageRun::MakePristine() {
  fs::create_directories(path_);
  fs::remove_all(path_ + "/pristine");
  StoreWriter writer(path_ + "/pristine", kSmallStore, random_());
  CAIRN_TRY(writer.Open());
  const uint64_t steps = kLeastSteps + random_() % (kMostSteps - kLeastSteps);
  for (uint64_t step = 0; step < steps || writer.told().sessions.empty(); ++step) {
    CAIRN_TRY(writer.Step());
  }
  std::ofstream(path_ + "/notes") << writer.told().ToText();
  return Ok();
}

Status DamageRun::Round() {
  CAIRN_TRY(MakePristine());
  Progress* progress = MapProgress(path_);
  if (progress == nullptr) return Fail(Errc::kIo, "cannot map a file in {}", path_);
  *progress = {};
  int status = 0;
  while (progress->counts.damaged < kDamages) {
    CAIRN_TRY(const pid_t child,
              StartOwnProcess({"--examine", path_, "--seed", std::to_string(random_())}));
    CAIRN_TRY(status, WaitForExaminer(child, progress));
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) break;
    std::fprintf(stderr, "ended in an assertion: %s\n", progress->what);
    ++progress->counts.ended;
  }
  const std::string what = progress->what;
  counts_ += progress->counts;
  munmap(progress, sizeof *progress);
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 0)) return Ok();
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) return Ok();  // at the last copy
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return Fail(Errc::kMismatch, "{}: reading has not ended after {} s", what, kMostSeconds);
  }
  return Fail(Errc::kMismatch, "{}: something was read that was never written (status {:#x})", what,
              status);
}

}  // namespace cairn::test
