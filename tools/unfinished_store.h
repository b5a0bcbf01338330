// UnfinishedStore: a place for a store that is being made, beside the name that it gets in the end.
//
//   TARGET.new/backup   says whose it is; locked by the process that makes the store
//   TARGET.new/store    the store
//
// It goes with this object, unless it got its name. What a killed process has left is known by the
// file and its lock, and makes room for the next one.
#pragma once

#include <string>

#include "base/error.h"

namespace cairn {

class UnfinishedStore {
 public:
  explicit UnfinishedStore(std::string target);
  ~UnfinishedStore();
  UnfinishedStore(const UnfinishedStore&) = delete;
  UnfinishedStore& operator=(const UnfinishedStore&) = delete;

  /// Where the store is to be made.
  std::string path() const { return place() + "/store"; }

  /// Makes the place. kExists if there is something at the target, or at the place and no backup
  /// has left it; kBusy if one is at work there.
  Status Make();
  /// Gives the store its name; that survives power loss on return.
  Status Finish();

 private:
  std::string place() const { return target_ + ".new"; }
  std::string mark() const { return place() + "/backup"; }
  Status RemoveRemains();
  Status Lock();

  std::string target_;
  int mark_fd_ = -1;  // its lock says that we are here; -1: nothing was made
};

}  // namespace cairn
