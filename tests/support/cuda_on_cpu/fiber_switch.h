// Tells sanitizers of addresses and of threads which stack is in use. Without them, nothing.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define CAIRN_FIBERS_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAIRN_FIBERS_WITH_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define CAIRN_FIBERS_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_FIBERS_WITH_TSAN 1
#endif
#endif

#ifdef CAIRN_FIBERS_WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CAIRN_FIBERS_WITH_TSAN
#include <sanitizer/tsan_interface.h>
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

/// What FakeStack::fiber is of a fiber that has not run; of the stack in use if not `is_new`.
inline void* FiberOf([[maybe_unused]] bool is_new) {
#ifdef CAIRN_FIBERS_WITH_TSAN
  return is_new ? __tsan_create_fiber(0) : __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}

/// Directly before a switch away from the stack of `from` to that of `to`, which begins at `stack`.
inline void StartSwitch([[maybe_unused]] FakeStack* from, [[maybe_unused]] const FakeStack& to,
                        [[maybe_unused]] const void* stack, [[maybe_unused]] size_t bytes) {
#ifdef CAIRN_FIBERS_WITH_ASAN
  __sanitizer_start_switch_fiber(&from->saved, stack, bytes);
#endif
#ifdef CAIRN_FIBERS_WITH_TSAN
  __tsan_switch_to_fiber(to.fiber, 0);
#endif
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
