// LargePages: memory of tables that are read at random, in pages of 2 MiB where the system gives
// them: of 4 KiB, the processor would have to look up the page for nearly every read.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn {

/// `count` elements as T{} or `value`; the memory is taken once and never grows.
template <class T>
std::vector<T> MakeInLargePages(size_t count, const T& value = T{}) {
  constexpr uintptr_t kPageBytes = 2 << 20;
  std::vector<T> table;
  table.reserve(count);
  const auto begin = reinterpret_cast<uintptr_t>(table.data());
  const uintptr_t first = (begin + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uintptr_t end = (begin + count * sizeof(T)) / kPageBytes * kPageBytes;
  // Advice only, before the memory is touched.
  if (first < end) (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  table.resize(count, value);
  return table;
}

}  // namespace cairn
