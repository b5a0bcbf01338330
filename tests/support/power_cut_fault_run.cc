#include "tests/support/power_cut_fault_run.h"

#include <filesystem>
#include <memory>
#include <utility>

#include "tests/support/power_cut_file_system.h"
#include "tests/support/store_writer.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNames[] = {"open",      "create", "flush", "commit",
                                  "roll back", "delete", "read",  "compact"};
constexpr uint64_t kMostFaults = 400;  // of one operation: more, and it never passes

Status Do(StoreWriter& writer, StoreOperation operation, const std::string& name) {
  switch (operation) {
    case StoreOperation::kOpen:
      return writer.Open();
    case StoreOperation::kCreate:
      return writer.Create();
    case StoreOperation::kFlush:
      return writer.Flush();
    case StoreOperation::kCommit:
      return writer.Commit(name);
    case StoreOperation::kRollBack:
      return writer.RollBack(name);
    case StoreOperation::kDelete:
      return writer.Delete(name);
    case StoreOperation::kRead:
      return writer.ReadSome(name);
    case StoreOperation::kCompact:
      return writer.Compact();
  }
  return Ok();
}

Error At(const char* when, const Error& error) {
  return Fail(error.code, "{}: {}", when, error.message);
}

#define TRY_WHEN(when, expression)                  \
  do {                                              \
    const Status status_ = (expression);            \
    if (!status_) return At(when, status_.error()); \
  } while (false)

/// Blocks that are sealed, some of them flushed.
Status Grow(StoreWriter& writer, const std::string& name, bool flush) {
  CAIRN_TRY(writer.SealSome(name));
  if (flush) CAIRN_TRY(writer.Flush());
  return writer.SealSome(name);
}

}  // namespace

const char* StoreOperationName(StoreOperation operation) {
  return kNames[static_cast<size_t>(operation)];
}

Status IoFaultRun::Prepare() {
  StoreWriter writer(path_ + "/pristine", {.read_threads = 1, .write_threads = 1}, random_());
  CAIRN_TRY(writer.Open());
  CAIRN_TRY(writer.Create());
  CAIRN_TRY(writer.Create());
  const StoreModel empty = writer.told();
  for (const auto& [name, unused] : empty.sessions) {
    for (const bool flush : {true, false}) {
      CAIRN_TRY(Grow(writer, name, flush));
      CAIRN_TRY(writer.Commit(name));
    }
    CAIRN_TRY(writer.Open());  // each time a new log
  }
  // Blocks without a commit, which the next one to open drops.
  CAIRN_TRY(Grow(writer, empty.sessions.begin()->first, true));
  model_ = writer.told();
  return Ok();
}

Result<bool> IoFaultRun::RunNth(StoreOperation operation, const IoFault& fault, uint64_t nth) {
  const std::string store = path_ + "/store";
  fs::remove_all(store);
  fs::copy(path_ + "/pristine", store, fs::copy_options::recursive);
  PowerCutDisk disk(store);
  PowerCutFileSystem* const files = &disk.files();
  StoreWriter writer(store, {.read_threads = 1, .write_threads = 1, .env = disk.env()}, random_());
  writer.Expect(model_, std::nullopt);
  const std::string name = model_.sessions.begin()->first;
  if (operation != StoreOperation::kOpen) {
    TRY_WHEN("opening before the fault", writer.Open());
    TRY_WHEN("sealing before the fault", Grow(writer, name, operation != StoreOperation::kFlush));
  }
  if (operation == StoreOperation::kRollBack) {
    // With this the catalog has the blocks, and must forget them.
    TRY_WHEN("committing another one before", writer.Commit(model_.sessions.rbegin()->first));
  }
  files->Fail({fault.operation, nth, fault.no_space, fault.stays});
  const Status status = Do(writer, operation, name);
  const bool met = !files->armed();
  files->Heal();
  if (!met) TRY_WHEN("without a fault", status);
  if (met) ++counts_.faults;
  if (!status) {
    ++counts_.errors;
    const Errc code = status.error().code;
    if (fault.no_space && code != Errc::kOutOfSpace) {
      return At("a full disk is called otherwise", status.error());
    }
  }
  // What failed is remembered by this process, or must be found by the next.
  if (random_() % 2 == 0) writer.Close();
  if (!writer.open()) TRY_WHEN("opening when the fault is gone", writer.Open());
  TRY_WHEN("without opening again", writer.Verify(/*opened_now=*/false));
  TRY_WHEN("rolling back", writer.RollBackAll());
  const std::string other = writer.told().sessions.begin()->first;
  TRY_WHEN("going on", Grow(writer, other, true));
  TRY_WHEN("going on", writer.Commit(other));
  TRY_WHEN("after going on", writer.Verify(/*opened_now=*/false));
  if (random_() % 2 == 0) {
    writer.Close();
    files->Restore(random_);
  }
  TRY_WHEN("opening again", writer.Open());
  TRY_WHEN("after opening again", writer.Verify(/*opened_now=*/true));
  writer.Close();
  return met;
}

Status IoFaultRun::Run(StoreOperation operation, const IoFault& fault) {
  for (uint64_t nth = 1; nth < kMostFaults; ++nth) {
    const Result<bool> met = RunNth(operation, fault, nth);
    if (!met) {
      return Fail(met.error().code, "{} with a fault at {} {}{}{}: {}",
                  StoreOperationName(operation), FileOperationName(fault.operation), nth,
                  fault.no_space ? " (no space)" : "", fault.stays ? " and all later ones" : "",
                  met.error().message);
    }
    if (!met.value() || nth == fault.last) return Ok();
  }
  return Fail(Errc::kMismatch, "{} never passes without a fault", StoreOperationName(operation));
}

}  // namespace cairn::test
