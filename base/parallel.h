// ParallelFor: the one way cairn uses several cores. A process-wide oneTBB arena runs the bodies;
// libraries that bring OpenMP (oneDNN, FAISS) are called from inside a body and stay on its core,
// so that two thread pools never compete. Outside of bodies OpenMP is as the program has it.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace cairn {

/// Non-owning reference to a callable; valid as long as the callable is.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit on purpose, it is a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Sets the number of cores ParallelFor uses (≥ 1), replacing the arena. Not while bodies run.
void SetThreads(int threads);
/// The number in force; by default the cores this process may use.
int Threads();

/// Runs body(i) for every i in [0, n) and returns when all are done. Bodies may run in any order
/// and at once; they must not call ParallelFor. With one thread or n = 1 they run in the caller.
void ParallelFor(int64_t n, FunctionRef<void(int64_t)> body);

/// Splits [0, n) into at most Threads() ranges whose bounds are multiples of `grain` (the last may
/// be short) and runs body(begin, end) on each. The split depends on n, grain and Threads() alone.
void ParallelRanges(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

}  // namespace cairn
