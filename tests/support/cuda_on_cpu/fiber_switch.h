// Tells sanitizers of addresses and of threads which stack is in use. Without them, nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#define CAIRN_FIBERS_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAIRN_FIBERS_WITH_ASAN 1
#endif
#endif

#ifdef CAIRN_FIBERS_WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CAIRN_SANITIZED_THREADS
#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void __tsan_java_init(uintptr_t begin, uintptr_t bytes);
void __tsan_java_alloc(uintptr_t at, uintptr_t bytes);
void __tsan_java_free(uintptr_t at, uintptr_t bytes);
}
#endif

namespace cairn::cuda_on_cpu {

/// What the sanitizer keeps of a stack while another one is in use.
struct FakeStack {
  void* saved = nullptr;
  void* fiber = nullptr;  // of threads' sanitizer
};

#ifdef CAIRN_FIBERS_WITH_ASAN
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#ifdef CAIRN_SANITIZED_THREADS
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

/// What FakeStack::fiber is of a fiber that has not run. What the running one did is before what
/// that will do.
inline void* NewFiber() {
#ifdef CAIRN_SANITIZED_THREADS
  return __tsan_create_fiber(0);
#else
  return nullptr;
#endif
}

/// Of the stack in use.
inline void* RunningFiber() {
#ifdef CAIRN_SANITIZED_THREADS
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}

inline void ForgetFiber([[maybe_unused]] void* fiber) {
#ifdef CAIRN_SANITIZED_THREADS
  __tsan_destroy_fiber(fiber);
#endif
}

/// The sanitizer of threads takes what is done from here to `fiber` becoming the running one again
/// for that fiber's; one is not before the other by that.
inline void GoOnAs([[maybe_unused]] void* fiber) {
#ifdef CAIRN_SANITIZED_THREADS
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
#endif
}

/// A token that is never given back; null where none is needed.
inline char* NewToken() { return kThreadSanitizer ? std::make_unique<char>().release() : nullptr; }

/// All that was done before a release of a token is before what is done behind an acquisition of
/// it: for the sanitizer of threads; nothing happens. A token is a byte that is used for no more,
/// or null for none.
inline void ReleaseTo([[maybe_unused]] char* token) {
#ifdef CAIRN_SANITIZED_THREADS
  if (token != nullptr) __tsan_release(token);
#endif
}
inline void AcquireFrom([[maybe_unused]] char* token) {
#ifdef CAIRN_SANITIZED_THREADS
  if (token != nullptr) __tsan_acquire(token);
#endif
}

/// What was done to this memory by other threads is no more: of one range in a program, aligned
/// outwards to 8 bytes.
inline void AsNewMemory([[maybe_unused]] void* at, [[maybe_unused]] size_t bytes) {
#ifdef CAIRN_SANITIZED_THREADS
  const uintptr_t begin = reinterpret_cast<uintptr_t>(at) & ~uintptr_t{7};
  const uintptr_t end = (reinterpret_cast<uintptr_t>(at) + bytes + 7) & ~uintptr_t{7};
  static const bool ready = (__tsan_java_init(begin, end - begin), true);
  static_cast<void>(ready);
  __tsan_java_free(begin, end - begin);
  __tsan_java_alloc(begin, end - begin);
#endif
}

/// While there is one, that sanitizer does not look at what the running fiber reads and writes.
class Unseen {
 public:
#ifdef CAIRN_SANITIZED_THREADS
  Unseen() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }  // and writes, for this one
  ~Unseen() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  Unseen() {}   // not the compiler's own, so that one without a use is no warning
  ~Unseen() {}  // NOLINT
#endif
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

/// While there is one, it looks, though one Unseen is there.
class Seen {
 public:
#ifdef CAIRN_SANITIZED_THREADS
  Seen() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
  ~Seen() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
#else
  Seen() {}
  ~Seen() {}  // NOLINT
#endif
  Seen(const Seen&) = delete;
  Seen& operator=(const Seen&) = delete;
};

/// The running fiber reads this memory, or writes what is there already.
inline void SeeRead([[maybe_unused]] const void* at, [[maybe_unused]] size_t bytes) {
  if constexpr (!kThreadSanitizer) return;
  const auto* from = static_cast<const volatile char*>(at);
  for (size_t i = 0; i < bytes; ++i) static_cast<void>(from[i]);
}
inline void SeeWrite([[maybe_unused]] void* at, [[maybe_unused]] size_t bytes) {
  if constexpr (!kThreadSanitizer) return;
  auto* to = static_cast<volatile char*>(at);
  for (size_t i = 0; i < bytes; ++i) to[i] = to[i];
}
inline void SeeCopy(void* target, const void* source, size_t bytes) {
  SeeRead(source, bytes);
  SeeWrite(target, bytes);
}

/// Directly before a switch away from the stack of `from` to that of `to`, which begins at `stack`.
inline void StartSwitch([[maybe_unused]] FakeStack* from, [[maybe_unused]] const FakeStack& to,
                        [[maybe_unused]] const void* stack, [[maybe_unused]] size_t bytes) {
#ifdef CAIRN_FIBERS_WITH_ASAN
  __sanitizer_start_switch_fiber(&from->saved, stack, bytes);
#endif
  GoOnAs(to.fiber);
}

/// Directly after a switch to the stack of `to`, null for one never run on. What was left goes to
/// `from` and `bytes` where they are not null.
inline void FinishSwitch([[maybe_unused]] const FakeStack* to, [[maybe_unused]] const void** from,
                         [[maybe_unused]] size_t* bytes) {
#ifdef CAIRN_FIBERS_WITH_ASAN
  __sanitizer_finish_switch_fiber(to == nullptr ? nullptr : to->saved, from, bytes);
#endif
}

/// Before another fiber begins on a stack whose fiber did not end.
inline void ForgetStack([[maybe_unused]] void* stack, [[maybe_unused]] size_t bytes) {
#ifdef CAIRN_FIBERS_WITH_ASAN
  __asan_unpoison_memory_region(stack, bytes);
#endif
}

}  // namespace cairn::cuda_on_cpu
