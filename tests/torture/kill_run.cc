#include "tests/torture/kill_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include "tests/support/store_writer.h"
#include "tests/torture/own_process.h"

namespace cairn::test {
namespace {

constexpr uint64_t kMostSteps = 100000;
constexpr char kAsked = 'A';
constexpr char kTold = 'T';

const RocksColdStoreOptions kSmallStore = {
    .read_threads = 2, .write_threads = 2, .meta_buffer_bytes = 64 << 10};

struct Notes {
  StoreModel told{};
  std::optional<StoreModel> in_flight{};
  uint64_t lines = 0;
};

Notes ReadNotes(const std::string& path) {
  Notes notes;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line) && !file.eof()) {  // a line without its end was not finished
    const StoreModel model = StoreModel::FromText(line.substr(1));
    ++notes.lines;
    notes.in_flight.reset();
    (line[0] == kTold ? notes.told : notes.in_flight.emplace()) = model;
  }
  return notes;
}

/// Counts the lines of a file that grows.
class LineCounter {
 public:
  explicit LineCounter(const std::string& path) : file_(path) {}

  uint64_t Count() {
    file_.clear();  // of the end that was met the last time
    lines_ += static_cast<uint64_t>(std::count(std::istreambuf_iterator<char>(file_), {}, '\n'));
    return lines_;
  }

 private:
  std::ifstream file_;
  uint64_t lines_ = 0;
};

Error SystemError(const char* action) {
  return Fail(Errc::kIo, "cannot {}: {}", action, std::strerror(errno));
}

}  // namespace

KillCounts& KillCounts::operator+=(const KillCounts& other) {
  kills += other.kills;
  before_first_answer += other.before_first_answer;
  acknowledged += other.acknowledged;
  whole += other.whole;
  undone += other.undone;
  return *this;
}

Status WriteUntilKilled(const std::string& store, const std::string& notes, uint64_t seed) {
  EndWithParent();
  const int fd = open(notes.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) return SystemError("open the notes");
  StoreWriter writer(store, kSmallStore, seed);
  writer.Expect(ReadNotes(notes).told, std::nullopt);
  const auto note = [fd](char kind, const StoreModel& model) {
    const std::string line = kind + model.ToText() + "\n";
    if (write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(2);
  };
  writer.on_ask = [&](const StoreModel& next) { note(kAsked, next); };
  writer.on_told = [&] { note(kTold, writer.told()); };
  CAIRN_TRY(writer.Open());
  for (uint64_t step = 0; step < kMostSteps; ++step) CAIRN_TRY(writer.Step());
  return Fail(Errc::kInterrupted, "nobody killed the writer in {} steps", kMostSteps);
}

Status KillRun::WriteAndKill() {
  mkdir(path_.c_str(), 0700);  // once
  std::ofstream(notes()) << kTold << told_.ToText() << '\n';
  CAIRN_TRY(const pid_t child, StartOwnProcess({"--writer", store(), "--notes", notes(), "--seed",
                                                std::to_string(random_())}));
  // So many lines of notes later, and a moment, it dies; often while it opens the store.
  const uint64_t lines = 1 + (random_() % 4 == 0 ? 0 : random_() % 20);
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  int status = 0;
  pid_t ended = 0;
  LineCounter counter(notes());
  while (counter.Count() < lines && std::chrono::steady_clock::now() < patience) {
    ended = waitpid(child, &status, WNOHANG);
    if (ended != 0) break;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  if (ended == 0) {
    // Opening and compacting say nothing while they last, and last longer than the rest.
    const uint64_t longest_us = lines == 1 || random_() % 4 == 0 ? 40000 : 3000;
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % longest_us));
    if (kill(child, SIGKILL) != 0) return SystemError("kill the writer");
    if (waitpid(child, &status, 0) != child) return SystemError("wait for the writer");
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return Ok();
  return Fail(Errc::kMismatch, "the writer ended by itself (status {:#x}); see its message",
              status);
}

Status KillRun::Compare() {
  const Notes notes_read = ReadNotes(notes());
  ++counts_.kills;
  if (notes_read.lines <= 1) ++counts_.before_first_answer;
  counts_.acknowledged += (notes_read.lines - 1) / 2;
  StoreWriter writer(store(), kSmallStore, random_());
  writer.Expect(notes_read.told, notes_read.in_flight);
  CAIRN_TRY(writer.Open());
  CAIRN_TRY(writer.Verify(/*opened_now=*/true));
  told_ = writer.told();
  if (!notes_read.in_flight) return Ok();
  ++(told_.ToText() == notes_read.told.ToText() ? counts_.undone : counts_.whole);
  return Ok();
}

Status KillRun::Round() {
  CAIRN_TRY(WriteAndKill());
  return Compare();
}

}  // namespace cairn::test
