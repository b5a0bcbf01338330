// IoFaultRun: one operation of a store, again and again, while the first, second, ... read, write,
// sync and so on of its file system fails, until it passes without meeting a fault.
//
// Each time the operation must end with an error or do its work; the store must be as it was told
// or as it was in flight, at once and after opening it again, must go on writing, and must survive
// a power cut then.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "base/error.h"
#include "tests/support/file_operation.h"
#include "tests/support/store_model.h"

namespace cairn::test {

enum class StoreOperation { kOpen, kCreate, kFlush, kCommit, kRollBack, kDelete, kRead, kCompact };
inline constexpr StoreOperation kStoreOperations[] = {
    StoreOperation::kOpen,   StoreOperation::kCreate,   StoreOperation::kFlush,
    StoreOperation::kCommit, StoreOperation::kRollBack, StoreOperation::kDelete,
    StoreOperation::kRead,   StoreOperation::kCompact};
const char* StoreOperationName(StoreOperation operation);

struct IoFault {
  FileOperation operation = FileOperation::kWrite;
  bool no_space = false;  ///< ENOSPC; otherwise EIO
  bool stays = false;     ///< all operations of the kind fail from the n-th on
  uint64_t last = 0;      ///< the n to stop at; 0: none
};

struct IoFaultCounts {
  uint64_t faults = 0;
  uint64_t errors = 0;  ///< of them, those that the operation reported
};

class IoFaultRun {
 public:
  /// Works in the new directory `path`, on copies of one store.
  IoFaultRun(std::string path, uint64_t seed) : path_(std::move(path)), random_(seed) {}

  /// Makes the store that is copied.
  Status Prepare();
  /// An error says what was not as it must be.
  Status Run(StoreOperation operation, const IoFault& fault);
  const IoFaultCounts& counts() const { return counts_; }

 private:
  /// True if the operation has met its fault.
  Result<bool> RunNth(StoreOperation operation, const IoFault& fault, uint64_t nth);

  const std::string path_;
  std::mt19937_64 random_;
  StoreModel model_;
  IoFaultCounts counts_;
};

}  // namespace cairn::test
