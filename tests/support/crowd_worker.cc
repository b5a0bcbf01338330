#include "tests/support/crowd_worker.h"

#include <chrono>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "engine/fork_point.h"
#include "engine/stored_shape.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_export.h"
#include "storage/session_import.h"

namespace cairn::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostSessions = 5;  // of a worker

constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };

}  // namespace

CrowdWorker::CrowdWorker(SessionCrowd& crowd, uint64_t seed, std::vector<std::string> names)
    : crowd_(crowd), random_(seed) {
  for (std::string& name : names) {
    const size_t book = Locked([&] { return crowd_.committed_.at(name).book; });
    own_.push_back({std::move(name), book});
  }
}

Status CrowdWorker::Operate() {
  const size_t what = Below(20);
  if (own_.empty() || (own_.size() < kMostSessions && what == 0)) return Create();
  if (own_.size() < kMostSessions && what <= 2) return Fork();
  const size_t index = Below(own_.size());
  Own& own = own_[index];
  switch (what) {
    case 3:
      return Rename(own);
    case 4:
      return own_.size() >= kMostSessions ? Delete(index) : Move(own);
    case 5:
    case 6:
      return Check(own);
    case 7:
      own.session.reset();
      return Ok();
    case 8:
      return own.session ? Locked([&] { return own.session->Revert(); }) : Ok();
    case 9:
    case 10:
    case 11:
    case 12:
      return Commit(own);
    default:
      return Append(own);
  }
}

Status CrowdWorker::Create() {
  Own own{crowd_.NewName(), Below(crowd_.books_.size())};
  CAIRN_TRY(own.session, Locked([&] {
              auto made =
                  crowd_.engine_->CreateSession(own.name, BookShape(), BookOptions(), kBookProfile);
              if (made) crowd_.committed_[own.name] = {own.book, 0};
              return made;
            }));
  own_.push_back(std::move(own));
  ++crowd_.counts_.opened;
  return Ok();
}

Status CrowdWorker::Open(Own& own) {
  if (own.session) return Ok();
  const auto start = Clock::now();
  CAIRN_TRY(own.session, Locked([&] {
              return crowd_.engine_->OpenSession(own.name, BookShape(), BookOptions());
            }));
  crowd_.Record(CrowdLatencies::kOpen, start);
  ++crowd_.counts_.opened;
  return Ok();
}

Status CrowdWorker::Append(Own& own) {
  CAIRN_TRY(Open(own));
  if (own.session->rows() % kBookStepRows != 0) return Ok();  // somebody has cut it within a step
  for (size_t steps = 1 + Below(6); steps > 0 && own.session->rows() < kBookRows; --steps) {
    const auto start = Clock::now();
    CAIRN_TRY(
        crowd_.books_[own.book].Step(*own.session, [&](auto action) { return Locked(action); }));
    crowd_.Record(CrowdLatencies::kStep, start);
    ++crowd_.counts_.steps;
  }
  return Ok();
}

Status CrowdWorker::Commit(Own& own) {
  if (!own.session) return Ok();
  const auto start = Clock::now();
  CAIRN_TRY(Locked([&]() -> Status {
    CAIRN_TRY(own.session->Commit(kBookProfile));
    crowd_.committed_[own.name].rows = own.session->rows();
    return Ok();
  }));
  crowd_.Record(CrowdLatencies::kCommit, start);
  ++crowd_.counts_.commits;
  return Ok();
}

Status CrowdWorker::Fork() {
  Own own{crowd_.NewName()};
  CAIRN_TRY(Locked([&]() -> Status {
    // Of any thread's session, also of one that goes on meanwhile.
    auto source = crowd_.committed_.begin();
    std::advance(source, Below(crowd_.committed_.size()));
    SessionCrowd::Content content = source->second;
    own.book = content.book;
    SessionCatalog& catalog = crowd_.engine_->catalog();
    CAIRN_TRY(const SessionRecord record, catalog.Find(source->first));
    std::optional<ForkPoint> point;
    if (content.rows >= kBookForkRows && Below(2) == 0) {
      content.rows = kBookForkRows * static_cast<int64_t>(Below(content.rows / kBookForkRows + 1));
      CAIRN_TRY(const int64_t block_rows, TokensPerBlock(record));
      CAIRN_TRY(point, ForkPointBehind(crowd_.engine_->cold(), record, content.rows / block_rows,
                                       kBookProfile, kNoWatch));
    }
    CAIRN_TRY(catalog.Fork(record, own.name, point));
    crowd_.committed_[own.name] = content;
    return Ok();
  }));
  own_.push_back(std::move(own));
  ++crowd_.counts_.forks;
  return Ok();
}

Status CrowdWorker::Rename(Own& own) {
  own.session.reset();
  const std::string name = crowd_.NewName();
  CAIRN_TRY(Locked([&]() -> Status {
    CAIRN_TRY(crowd_.engine_->catalog().Rename(own.name, name));
    auto entry = crowd_.committed_.extract(own.name);
    entry.key() = name;
    crowd_.committed_.insert(std::move(entry));
    return Ok();
  }));
  own.name = name;
  ++crowd_.counts_.renamed;
  return Ok();
}

Status CrowdWorker::Delete(size_t index) {
  const std::string name = own_[index].name;
  own_.erase(own_.begin() + static_cast<ptrdiff_t>(index));
  CAIRN_TRY(Locked([&]() -> Status {
    CAIRN_TRY(crowd_.engine_->catalog().Delete(name));
    crowd_.committed_.erase(name);
    return Ok();
  }));
  ++crowd_.counts_.deleted;
  return Ok();
}

Status CrowdWorker::Move(const Own& own) {
  Own moved{crowd_.NewName(), own.book};
  const std::string file = crowd_.path_ + "-" + moved.name + ".cairn";
  {
    CAIRN_TRY(const auto store, RocksColdStore::Open(crowd_.path_, {.read_only = true}));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*store, true));
    CAIRN_TRY(const SessionRecord record, catalog.Find(own.name));
    const auto exported =
        ExportSession(*store, catalog, record, GridOf(BookShape()), file, kNoWatch);
    if (!exported) return exported.as_failure();
  }
  CAIRN_TRY(Locked([&]() -> Status {
    CAIRN_TRY(ImportSession(crowd_.engine_->cold(), crowd_.engine_->catalog(), file, moved.name,
                            kNoWatch));
    crowd_.committed_[moved.name] = crowd_.committed_.at(own.name);
    return Ok();
  }));
  std::filesystem::remove(file);
  own_.push_back(std::move(moved));
  ++crowd_.counts_.moved;
  return Ok();
}

Status CrowdWorker::Check(const Own& own) {
  const SessionCrowd::Content content =
      Locked([&] { return crowd_.committed_.at(own.name); });  // only this thread changes it
  // Files may go away while they are read beside a writer: what a later look finds counts.
  constexpr int kLooks = 5;
  const auto start = Clock::now();
  Status found = Ok();
  for (int look = 0; look < kLooks; ++look) {
    const auto store = RocksColdStore::Open(crowd_.path_, {.read_only = true});
    if (!store) {
      found = store.as_failure();
      continue;
    }
    const auto catalog = SessionCatalog::Open(*store.value(), true);
    found = catalog ? crowd_.Compare(*store.value(), catalog.value(), own.name, content)
                    : Status(catalog.as_failure());
    if (found || found.error().code == Errc::kMismatch) break;
  }
  crowd_.Record(CrowdLatencies::kCheck, start);
  ++crowd_.counts_.checked;
  return found;
}

}  // namespace cairn::test
