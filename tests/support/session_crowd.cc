#include "tests/support/session_crowd.h"

#include <thread>
#include <utility>

#include "engine/payload_chain.h"
#include "engine/stored_shape.h"
#include "storage/extent_use.h"
#include "storage/rocks_cold_store.h"
#include "storage/verifier.h"
#include "tests/support/crowd_worker.h"

namespace cairn::test {
namespace {

constexpr size_t kBooks = 3;
constexpr uint64_t kHostBytes = 512 << 10;  // fewer blocks than the sessions have
constexpr uint64_t kDiskBytes = 64 << 20;   // more than they need, if space comes back

constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };

Error Differs(const std::string& name, std::string_view what) {
  return Fail(Errc::kMismatch, "session '{}' has another {} than its model", name, what);
}

}  // namespace

SessionCrowd::SessionCrowd(std::string path, uint64_t seed) : path_(std::move(path)), seed_(seed) {}

Status SessionCrowd::OpenEngine(const std::string& path) {
  CAIRN_TRY(auto cold, RocksColdStore::Open(path, {.create = true,
                                                   .disk_limit_bytes = kDiskBytes,
                                                   .read_threads = 2,
                                                   .write_threads = 1,
                                                   .meta_buffer_bytes = 64 << 10}));
  CAIRN_TRY(engine_, Engine::Open(std::move(cold), {.host_bytes = kHostBytes}));
  return Ok();
}

CrowdLatencies SessionCrowd::TakeLatencies() {
  const std::lock_guard lock(latencies_mutex_);
  return std::exchange(latencies_, {});
}

void SessionCrowd::Record(CrowdLatencies::What what, std::chrono::steady_clock::time_point start) {
  const std::chrono::nanoseconds passed = std::chrono::steady_clock::now() - start;
  const std::lock_guard lock(latencies_mutex_);
  latencies_.of[what].Record(static_cast<uint64_t>(passed.count()));
}

std::string SessionCrowd::NewName() { return fmt::format("s{}", names_++); }

Status SessionCrowd::Run(int threads, int operations) {
  while (books_.size() < kBooks) {
    CAIRN_TRY(CrowdBook book, CrowdBook::Make(seed_ + books_.size()));
    books_.push_back(std::move(book));
  }
  CAIRN_TRY(OpenEngine(path_));
  std::atomic<bool> failed = false;
  std::vector<Status> results(static_cast<size_t>(threads), Ok());
  std::vector<std::vector<std::string>> shares(static_cast<size_t>(threads));
  size_t next = 0;
  for (const auto& [name, content] : committed_) shares[next++ % shares.size()].push_back(name);
  std::vector<std::jthread> crowd;
  for (size_t i = 0; i < results.size(); ++i) {
    const uint64_t seed = seed_ * 1000003 + runs_ * 1009 + i;
    crowd.emplace_back([this, i, seed, operations, &shares, &results, &failed] {
      CrowdWorker worker(*this, seed, std::move(shares[i]));
      for (int done = 0; done < operations && results[i] && !failed; ++done) {
        results[i] = worker.Operate();
      }
      if (!results[i]) failed = true;
    });
  }
  crowd.clear();  // waits
  ++runs_;
  for (const Status& result : results) {
    if (!result) return result;
  }
  engine_.reset();
  return CompareAll();
}

Status SessionCrowd::CompareAll(const std::string& path) {
  CAIRN_TRY(OpenEngine(path));
  CAIRN_TRY(const SessionList found, engine_->catalog().List());
  if (found.sessions.size() != committed_.size() || !found.unreadable.empty()) {
    return Fail(Errc::kMismatch, "the store has {} sessions and {} unreadable ones, the model {}",
                found.sessions.size(), found.unreadable.size(), committed_.size());
  }
  Verifier verifier(engine_->cold());
  CAIRN_TRY(const auto records, verifier.CheckStore());
  for (const SessionRecord& record : records) {
    verifier.CheckEntries(record);
    CAIRN_TRY(
        verifier.CheckBlocks(record, GridOf(BookShape()), SummaryType(BookShape().mode), kNoWatch));
  }
  for (const Damage& damage : verifier.damages()) {
    return Fail(Errc::kMismatch, "session '{}' is damaged: {}", damage.session, damage.what);
  }
  for (const auto& [name, content] : committed_) {
    CAIRN_TRY(Compare(engine_->cold(), engine_->catalog(), name, content));
  }
  engine_.reset();
  return Ok();
}

Status SessionCrowd::CompareExtents() {
  CAIRN_TRY(OpenEngine(path_));
  CAIRN_TRY(const SessionList found, engine_->catalog().List());
  CAIRN_TRY(const std::vector<uint64_t> extents, engine_->cold().Extents());
  engine_.reset();
  const ExtentUse use(found.sessions);
  for (const uint64_t extent : extents) {
    if (!use.Names(extent)) return Fail(Errc::kMismatch, "extent {} is no session's", extent);
  }
  return Ok();
}

Status SessionCrowd::Compare(ColdStore& cold, const SessionCatalog& catalog,
                             const std::string& name, const Content& content) const {
  const CrowdBook& book = books_[content.book];
  CAIRN_TRY(const SessionRecord record, catalog.Find(name));
  if (static_cast<int64_t>(record.rows) != content.rows) return Differs(name, "number of rows");
  CAIRN_TRY(const auto tokens, catalog.ReadTokens(record));
  if (tokens != book.Tokens(0, content.rows)) return Differs(name, "text");
  CAIRN_TRY(const std::string tail, catalog.ReadTail(record));
  if (tail != book.Tail(content.rows)) return Differs(name, "tail");
  CAIRN_TRY(const std::string digest, SessionDigest(catalog, record, ""));
  if (digest != book.Digest(content.rows)) return Differs(name, "digest");
  // The digest covers the chain, and the chain the payloads.
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(record.properties));
  CAIRN_TRY(const std::string chain, ReadChain(cold, GridOf(BookShape()), record.ranges, kNoWatch));
  return chain == stored.chain ? Ok() : Status(Differs(name, "chain of payloads"));
}

}  // namespace cairn::test
