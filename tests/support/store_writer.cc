#include "tests/support/store_writer.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "storage/block_table.h"

namespace cairn::test {
namespace {

constexpr uint32_t kMostSessions = 4;
constexpr size_t kMostCommits = 10;           // of a session, which is then deleted
constexpr uint64_t kSegmentBytes = 96 << 10;  // so that a few blocks are many segments
constexpr uint64_t kHostBytes = 96 * (kModelPayloadBytes + 88 + BlockTable::kBytesPerSlot);

}  // namespace

Status StoreWriter::Open() {
  Close();
  RocksColdStoreOptions options = options_;
  options.create = true;
  options.segment_bytes = kSegmentBytes;
  CAIRN_TRY(store_, RocksColdStore::Open(path_, options));
  CAIRN_TRY(SessionCatalog catalog, SessionCatalog::Open(*store_, false));
  CAIRN_TRY(tiers_, TieredStore::Open(
                        {.payload_bytes = kModelPayloadBytes, .host_bytes = kHostBytes}, *store_));
  catalog_.emplace(std::move(catalog));
  return Ok();
}

void StoreWriter::Close() {
  growing_.clear();
  catalog_.reset();
  tiers_.reset();
  store_.reset();
}

void StoreWriter::Expect(StoreModel told, std::optional<StoreModel> in_flight) {
  told_ = std::move(told);
  in_flight_ = std::move(in_flight);
}

void StoreWriter::Ask(StoreModel next) {
  in_flight_ = std::move(next);
  if (on_ask) on_ask(*in_flight_);
}

void StoreWriter::Told() {
  told_ = std::move(*in_flight_);
  in_flight_.reset();
  ++acknowledged_;
  if (on_told) on_told();
}

std::string StoreWriter::AnySession() {
  auto session = told_.sessions.begin();
  std::advance(session, Pick(static_cast<uint32_t>(told_.sessions.size())));
  return session->first;
}

Status StoreWriter::Step() {
  const size_t sessions = told_.sessions.size();
  if (sessions == 0 || (sessions < kMostSessions && Pick(10) == 0)) return Create();
  const std::string name = AnySession();
  if (told_.sessions[name].commits.size() >= kMostCommits) return Delete(name);
  if (Pick(20) == 0) return sessions < kMostSessions ? Fork(name) : Rename(name);
  switch (Pick(16)) {
    case 0:
      return Flush();
    case 1:
      return RollBack(name);
    case 2:
      return Pick(3) == 0 ? Delete(name) : Commit(name);
    case 3:
    case 4:
      return ReadSome(name);
    case 5:
      if (Pick(3) == 0) return Open();
      return Pick(3) == 0 ? Compact() : Ok();
    case 6:
    case 7:
    case 8:
    case 9:
      return Commit(name);
    default:
      return SealSome(name);
  }
}

std::string StoreWriter::NewName() {
  std::string name = std::to_string(Pick(1000));
  while (told_.sessions.contains(name)) name += "x";
  return name;
}

Status StoreWriter::Create() {
  const std::string name = NewName();
  StoreModel next = told_;
  next.sessions[name] = {};
  Ask(std::move(next));
  const SessionRecord wanted = ModelRecord(name, {});
  CAIRN_TRY(const SessionRecord made, catalog_->Create(name, wanted.properties));
  in_flight_->sessions[name].id = made.id;
  Told();
  return Ok();
}

Status StoreWriter::StartGrowth(const std::string& name, Growth& growth) {
  if (growth.extent != 0) return Ok();
  growth.seed = random_();
  // Now and then it goes on in the extent of a commit of its own; one that it shares as a fork, or
  // that was another session's, it must not write to.
  const ModelSession& session = told_.sessions[name];
  const auto inherited = static_cast<size_t>(std::max<int64_t>(session.inherited, 0));
  const bool own = session.commits.size() > inherited && session.commits.back().blocks > 0;
  if (own && Pick(2) == 0) {
    growth.extent = session.commits.back().extent;
    growth.first = session.commits.back().first + session.commits.back().blocks;
    return Ok();
  }
  CAIRN_TRY(growth.extent, catalog_->NewExtent());
  growth.first = 0;
  return Ok();
}

Status StoreWriter::SealSome(const std::string& name) {
  Growth& growth = growing_[name];
  CAIRN_TRY(StartGrowth(name, growth));
  const uint32_t more = 1 + Pick(4);
  for (const BlockId& id : ModelBlocks(growth.extent, growth.first + growth.blocks, more)) {
    CAIRN_TRY(tiers_->Seal(id, ModelPayload(id, growth.seed)));
  }
  growth.blocks += more;
  return Ok();
}

Status StoreWriter::Flush() { return tiers_->Flush(0); }

Status StoreWriter::RollBack(const std::string& name) {
  const auto growth = growing_.find(name);
  if (growth == growing_.end() || growth->second.extent == 0) return Ok();
  CAIRN_TRY(tiers_->Discard(growth->second.extent, growth->second.first));
  growing_.erase(growth);
  return Ok();
}

Status StoreWriter::RollBackAll() {
  for (const auto& [name, growth] : growing_) {
    if (growth.extent == 0) continue;
    uint32_t from = growth.first;
    if (told_.sessions.contains(name)) {
      for (const ExtentRange& range : ModelRecord(name, told_.sessions[name]).ranges) {
        if (range.extent == growth.extent) from = std::max(from, range.first + range.count);
      }
    }
    CAIRN_TRY(tiers_->Discard(growth.extent, from));
  }
  growing_.clear();
  return Ok();
}

Status StoreWriter::Commit(const std::string& name) {
  Growth& growth = growing_[name];
  if (growth.seed == 0) growth.seed = random_();
  CAIRN_TRY(tiers_->Flush(growth.extent));
  StoreModel next = told_;
  ModelSession& session = next.sessions[name];
  // Now and then a commit of many sectors, which a cut can tear in many ways.
  const uint32_t scale = Pick(6) == 0 ? 20 : 1;
  session.commits.push_back({.seed = growth.seed,
                             .tokens = Pick(60) * scale,
                             .tail_bytes = Pick(3) == 0 ? 0 : Pick(2000) * scale,
                             .extent = growth.extent,
                             .first = growth.first,
                             .blocks = growth.blocks});
  const SessionCommit commit = ModelCommitOf(name, session);
  Ask(std::move(next));
  CAIRN_TRY(catalog_->Commit(commit));
  growing_.erase(name);
  Told();
  return Ok();
}

Status StoreWriter::Delete(const std::string& name) {
  CAIRN_TRY(RollBack(name));
  StoreModel next = told_;
  next.sessions.erase(name);
  Ask(std::move(next));
  CAIRN_TRY(catalog_->Delete(name));
  Told();
  return Ok();
}

Status StoreWriter::Fork(const std::string& name) {
  const std::string fork = NewName();
  StoreModel next = told_;
  ModelSession& made = next.sessions[fork] = told_.sessions[name];
  made.id = 0;
  made.inherited = std::ssize(made.commits);
  Ask(std::move(next));
  CAIRN_TRY(const SessionRecord source, catalog_->Find(name));
  CAIRN_TRY(const SessionRecord record, catalog_->Fork(source, fork, std::nullopt));
  in_flight_->sessions[fork].id = record.id;
  Told();
  return Ok();
}

Status StoreWriter::Rename(const std::string& name) {
  CAIRN_TRY(RollBack(name));
  const std::string new_name = NewName();
  StoreModel next = told_;
  next.sessions[new_name] = told_.sessions[name];
  next.sessions.erase(name);
  Ask(std::move(next));
  CAIRN_TRY(catalog_->Rename(name, new_name));
  Told();
  return Ok();
}

Status StoreWriter::ReadSome(const std::string& name) {
  std::vector<BlockId> ids;
  std::vector<uint64_t> seeds;
  for (const ModelCommit& commit : told_.sessions[name].commits) {
    for (const BlockId& id : ModelBlocks(commit.extent, commit.first, commit.blocks)) {
      if (Pick(4) != 0 || ids.size() == 16) continue;
      ids.push_back(id);
      seeds.push_back(commit.seed);
    }
  }
  CAIRN_TRY(const Pins pins, tiers_->Fetch(ids));
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<std::byte> payload = ModelPayload(ids[i], seeds[i]);
    if (std::memcmp(pins.payloads()[i], payload.data(), payload.size()) != 0) {
      return Fail(Errc::kMismatch, "{} was read with other bytes", ToString(ids[i]));
    }
  }
  return Ok();
}

Status StoreWriter::Compact() {
  CAIRN_TRY(Open());
  CAIRN_TRY(catalog_->RemoveLeftovers());
  CompactionReport report;
  CAIRN_TRY(store_->Compact([](uint64_t, uint64_t) { return Status(Ok()); }, report));
  if (report.damaged_blocks == 0) return Ok();
  return Fail(Errc::kCorruption, "compacting has met damage: {}", report.damages.front());
}

Status StoreWriter::Verify(bool opened_now) {
  Status as_told = CompareSessions(*store_, *catalog_, told_);
  if (!as_told) {
    if (!in_flight_) return as_told;
    const Status as_asked = CompareSessions(*store_, *catalog_, *in_flight_);
    if (!as_asked) {
      return Fail(as_told.error().code, "{}; nor is it as it was in flight: {}",
                  as_told.error().message, as_asked.error().message);
    }
    told_ = *in_flight_;
  }
  in_flight_.reset();
  return opened_now ? CompareExtents(*store_, told_) : Ok();
}

}  // namespace cairn::test
