#include "tests/support/cuda_on_cpu/memory_order.h"

#ifdef CAIRN_SANITIZED_THREADS
// By default a race is not reported where another one was before: shared memory of all grids may be
// at one address.
extern "C" const char* __tsan_default_options() { return "suppress_equal_addresses=0"; }
#endif

namespace cairn::cuda_on_cpu {

void MemoryOrder::FenceOf(Thread* thread) {
  const Unseen unseen;
  for (char* fence : thread->behind) AcquireFrom(fence);
  thread->behind.clear();
  thread->fence = Token();
  ReleaseTo(thread->fence);
}

void MemoryOrder::ChangeOf(Thread* thread, const void* at) {
  const Unseen unseen;
  std::vector<char*>& fences = fences_[at];
  thread->behind.insert(thread->behind.end(), fences.begin(), fences.end());
  if (thread->fence != nullptr) fences.push_back(thread->fence);
}

}  // namespace cairn::cuda_on_cpu
