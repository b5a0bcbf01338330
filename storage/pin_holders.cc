#include "storage/pin_holders.h"

#include <algorithm>

namespace cairn {

void PinHolders::Join(PinHolder& holder) {
  const std::lock_guard lock(mutex_);
  holders_.push_back(&holder);
}

void PinHolders::Leave(PinHolder& holder) {
  const std::lock_guard lock(mutex_);
  holders_.remove(&holder);
}

void PinHolders::Rest(PinHolder& holder) {
  const std::lock_guard lock(mutex_);
  holders_.splice(holders_.end(), holders_, std::ranges::find(holders_, &holder));
}

bool PinHolders::GiveBack() {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(holders_, [](PinHolder* holder) { return holder->GiveBack(); });
}

}  // namespace cairn
