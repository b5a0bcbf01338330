// Copies into shared memory that a thread has asked for and not yet waited for (cp.async).
//
// What a copy is to fill is 0xff (NaN) from when it was asked for until the thread waits: so who
// reads too early, or still needs what was there, is wrong under every seed. Others see the bytes
// from then on, as a barrier would have to make them.
#pragma once

#include <cstddef>
#include <deque>

namespace cairn::cuda_on_cpu {

class AsyncCopies {
 public:
  static constexpr size_t kBytes = 16;  ///< that a copy fills

  /// Fills `target` with `bytes` from `source`, and zeros. Not in a group yet.
  void Add(std::byte* target, const std::byte* source, size_t bytes);
  /// What was added since the last time becomes a group, which may be empty.
  void Commit();
  /// Carries out all groups but the newest `left`.
  void Wait(size_t left);
  /// Whether something was added that nobody has waited for.
  bool UnderWay() const;
  void Forget();

 private:
  struct Copy {
    std::byte* target;
    const std::byte* source;
    size_t bytes;
  };

  // The next copy of all groups but the newest `left`; false if there is none.
  bool CarryOut(size_t left, Copy* copy);

  std::deque<std::deque<Copy>> groups_ = std::deque<std::deque<Copy>>(1);  // the last is open
};

}  // namespace cairn::cuda_on_cpu
