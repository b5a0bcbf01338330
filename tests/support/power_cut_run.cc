#include "tests/support/power_cut_run.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/support/power_cut_file_system.h"
#include "tests/support/store_writer.h"

namespace cairn::test {
namespace {

constexpr uint32_t kMostChanges = 160;  // between two cuts
constexpr int kMostSteps = 400;

RocksColdStoreOptions SmallStore(rocksdb::Env* env) {
  // A small buffer: flushes, new logs and compactions happen too.
  return {.read_threads = 1, .write_threads = 1, .meta_buffer_bytes = 64 << 10, .env = env};
}

}  // namespace

PowerCutCounts& PowerCutCounts::operator+=(const PowerCutCounts& other) {
  cuts += other.cuts;
  kills += other.kills;
  in_opening += other.in_opening;
  acknowledged += other.acknowledged;
  whole += other.whole;
  undone += other.undone;
  return *this;
}

struct PowerCutRun::Impl {
  Impl(const std::string& store, uint64_t seed)
      : path(store),
        random(seed),
        files(std::make_shared<PowerCutFileSystem>(store)),
        env(rocksdb::NewCompositeEnv(files)),
        writer(store, SmallStore(env.get()), seed + 1) {}

  Status WriteUntilCut();
  void LeaveRemains();
  Status OpenAgain();

  const std::string path;
  std::mt19937_64 random;
  const std::shared_ptr<PowerCutFileSystem> files;
  const std::unique_ptr<rocksdb::Env> env;
  StoreWriter writer;
  PowerCutCounts counts;
  std::string old_mark;
};

Status PowerCutRun::Impl::WriteUntilCut() {
  files->CutAt(1 + random() % kMostChanges);
  Status status = writer.open() ? Status(Ok()) : writer.Open();
  for (int step = 0; status && step < kMostSteps; ++step) status = writer.Step();
  if (!status && files->off()) return Ok();
  if (!status) return status;
  return Ok();  // the cut finds the store idle
}

/// What the machine leaves of the directory.
void PowerCutRun::Impl::LeaveRemains() {
  writer.Close();
  if (random() % 5 == 0) {
    ++counts.kills;
    files->Revive();
    return;
  }
  ++counts.cuts;
  files->Restore(random);
  // The files that the store makes without RocksDB are never synced: lock and reserve may be lost,
  // the mark may be an older one, or empty.
  if (random() % 2 == 0) unlink((path + "/lock").c_str());
  if (random() % 2 == 0) unlink((path + "/reserve").c_str());
  const std::string mark = path + "/acknowledged";
  const uint64_t kept = random() % 4;
  if (kept == 0) std::filesystem::resize_file(mark, 0);
  if (kept == 1 && !old_mark.empty()) std::ofstream(mark, std::ios::binary) << old_mark;
  std::ifstream file(mark, std::ios::binary);
  old_mark = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Status PowerCutRun::Impl::OpenAgain() {
  // Now and then opening is cut as well.
  while (random() % 3 == 0) {
    files->CutAt(1 + random() % 40);
    const Status opened = writer.Open();
    if (!opened && !files->off()) return opened;
    ++counts.in_opening;
    LeaveRemains();
  }
  return writer.Open();
}

PowerCutRun::PowerCutRun(const std::string& path, uint64_t seed)
    : impl_(std::make_unique<Impl>(path, seed)) {}
PowerCutRun::~PowerCutRun() = default;

Status PowerCutRun::Round() {
  const uint64_t before = impl_->writer.acknowledged();
  CAIRN_TRY(impl_->WriteUntilCut());
  impl_->counts.acknowledged += impl_->writer.acknowledged() - before;
  impl_->LeaveRemains();
  CAIRN_TRY(impl_->OpenAgain());
  const std::string told = impl_->writer.told().ToText();
  const bool in_flight = impl_->writer.in_flight().has_value();
  CAIRN_TRY(impl_->writer.Verify(/*opened_now=*/true));
  if (in_flight)
    ++(impl_->writer.told().ToText() == told ? impl_->counts.undone : impl_->counts.whole);
  return Ok();
}

const PowerCutCounts& PowerCutRun::counts() const { return impl_->counts; }

void PowerCutRun::Betray(const std::string& part) { impl_->files->Betray(part); }

}  // namespace cairn::test
