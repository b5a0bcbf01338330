#include "tests/torture/recompute_run.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/stored_shape.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_catalog.h"
#include "tests/support/tiny_model.h"
#include "tests/torture/session_damage.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSession = "read";
constexpr const char* kFork = "fork";
constexpr int kCharacters = 3000;
constexpr int kKills = 4;  // of one repair, at most, before it may come to its end

/// Whether `found` is `whole` where it can be read.
bool NothingFalse(const std::vector<std::string>& found, const std::vector<std::string>& whole) {
  return std::ranges::equal(
      found, whole, [](const std::string& a, const std::string& b) { return a.empty() || a == b; });
}

}  // namespace

RecomputeRun::RecomputeRun(std::string path, uint64_t seed)
    : path_(std::move(path)),
      random_(seed),
      killer_(path_, random_()),
      landmarks_(random_() % 2 == 0) {}

Status RecomputeRun::Make() {
  fs::create_directories(path_);
  TinyModelOptions model_options;
  model_options.chat_template = "chatml-system";
  CAIRN_TRY(WriteTinyModel(model(), model_options));
  const std::string text = path_ + "/text", adapter = path_ + "/landmark.gguf";
  std::ofstream file(text);
  for (int i = 0; i < kCharacters; ++i) {
    file.put(random_() % 6 == 0 ? ' ' : static_cast<char>('a' + random_() % 26));
  }
  file.close();
  std::vector<std::string> ingest = {"ingest",  "--store", store(),   "--session", kSession,
                                     "--model", model(),   "--chunk", "64",        "--retrieve",
                                     "4",       "--quiet", text};
  if (landmarks_) {
    CAIRN_TRY(WriteTinyAdapter(adapter, model_options, {}));
    ingest.insert(ingest.end(), {"--adapter", adapter});
  }
  CommandKills uncounted;
  CAIRN_TRY(killer_.RunToEnd(ingest, uncounted));
  CAIRN_TRY(const auto cold, RocksColdStore::Open(store(), {.read_only = true}));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
  CAIRN_TRY(const SessionRecord record, catalog.Find(kSession));
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(record.properties));
  CAIRN_TRY(const SessionShape shape, ParseShape(stored.shape));
  grid_ = GridOf(shape);
  CAIRN_TRY(whole_, Read(kSession));
  return Ok();
}

/// Anew in each round: the one before may share damaged blocks, which nobody repairs for it.
Status RecomputeRun::Fork() {
  CommandKills uncounted;
  CAIRN_TRY(auto cold, RocksColdStore::Open(store(), {.read_only = true}));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
  const bool there = catalog.Find(kFork).has_value();
  cold.reset();
  if (there) {
    CAIRN_TRY(
        killer_.RunToEnd({"sessions", "delete", kFork, "--store", store(), "--quiet"}, uncounted));
  }
  return killer_.RunToEnd({"sessions", "fork", kSession, kFork, "--store", store(), "--quiet"},
                          uncounted);
}

Status RecomputeRun::Damage() {
  if (random_() % 4 == 0) CAIRN_TRY(DamageEntry(store(), "a/", random_));  // a tail of either
  const size_t blocks = random_() % 3;
  for (size_t i = 0; i < blocks; ++i) {
    const Status done = DamageBlock(store(), kSession, grid_, random_);
    if (!done && done.error().code != Errc::kCorruption)
      return done;  // else it was damaged already
  }
  return Ok();
}

Result<RecomputeRun::Contents> RecomputeRun::Read(const std::string& session) const {
  CAIRN_TRY(const auto cold, RocksColdStore::Open(store(), {.read_only = true}));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
  CAIRN_TRY(const SessionRecord record, catalog.Find(session));
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(record.properties));
  Contents contents{.chain = stored.chain};
  CAIRN_TRY(contents.tokens, catalog.ReadTokens(record));
  const auto tail = catalog.ReadTail(record);
  if (tail) contents.tail = tail.value();
  if (!tail && tail.error().code != Errc::kCorruption) return tail.error();
  BlockScan scan(*cold, grid_, record.ranges);
  for (auto blocks = scan.Next(); !blocks.empty(); blocks = scan.Next()) {
    for (const ScannedBlock& block : blocks) {
      if (!block.status && block.status.error().code != Errc::kCorruption) {
        return block.status.error();
      }
      std::string& bytes = contents.blocks.emplace_back();
      if (!block.status) continue;
      bytes.assign(reinterpret_cast<const char*>(block.payload.data()), block.payload.size());
    }
  }
  return contents;
}

Status RecomputeRun::CompareFork() const {
  CAIRN_TRY(const Contents fork, Read(kFork));
  if (NothingFalse(fork.blocks, whole_.blocks) && NothingFalse({fork.tail}, {whole_.tail}) &&
      fork.tokens == whole_.tokens && fork.chain == whole_.chain) {
    return Ok();
  }
  return Fail(Errc::kMismatch, "the fork is not what it was");
}

Status RecomputeRun::Round() {
  if (!fs::exists(path_)) CAIRN_TRY(Make());
  CAIRN_TRY(Fork());
  CAIRN_TRY(Damage());
  CAIRN_TRY(damaged_, Read(kSession));
  const std::vector<std::string> command = {"repair", "--store",    store(), "--session",
                                            kSession, "--model",    model(), "--quiet",
                                            "--json", "--retrieve", "4"};
  for (int i = 0; i < kKills; ++i) {
    CAIRN_TRY(const CommandEnd end, killer_.Kill(command, counts_));
    CAIRN_TRY(const Contents found, Read(kSession));
    CAIRN_TRY(CompareFork());
    if (found == whole_ && end.killed && damaged_ != whole_) ++counts_.done;
    if (found == whole_) break;
    if (found != damaged_ || !end.killed) {
      return Fail(Errc::kMismatch, "the session is neither what it was nor whole");
    }
  }
  CAIRN_TRY(killer_.RunToEnd(command, counts_));
  CAIRN_TRY(const Contents found, Read(kSession));
  CAIRN_TRY(CompareFork());
  if (found != whole_) return Fail(Errc::kMismatch, "a repaired session is not what it was");
  return Ok();
}

}  // namespace cairn::test
