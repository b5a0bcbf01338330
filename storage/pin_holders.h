// PinHolders: those who keep pins from one use to the next, and who gives them back when a fetch
// finds no room. Blocks that are given back stay where they are until others come in their place.
#pragma once

#include <list>
#include <mutex>

namespace cairn {

/// Keeps pins of one store.
class PinHolder {
 public:
  virtual ~PinHolder() = default;
  /// Gives back all pins, unless they are in use; returns whether it had any to give. Called by
  /// threads of others.
  virtual bool GiveBack() = 0;
};

/// Thread-safe.
class PinHolders {
 public:
  void Join(PinHolder& holder);
  /// Returns once nobody asks it for anything.
  void Leave(PinHolder& holder);
  /// It uses its pins no longer, and is the last one to be asked.
  void Rest(PinHolder& holder);

  /// Has one give back its pins, whoever is at rest longest; false if nobody has any to give.
  bool GiveBack();

 private:
  std::mutex mutex_;
  std::list<PinHolder*> holders_;  // by when they came to rest
};

}  // namespace cairn
