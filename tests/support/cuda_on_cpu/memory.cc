// Memory of devices and pinned memory of the host, and copies.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "tests/support/cuda_on_cpu/runtime_state.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

using namespace cairn::cuda_on_cpu;

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostPitch = (size_t{1} << 31) - 1;

size_t MemoryToBeginWith() {
  const char* const mebibytes = std::getenv("CAIRN_CUDA_ON_CPU_MIB");
  return (mebibytes == nullptr ? 64 : std::strtoull(mebibytes, nullptr, 10)) << 20;
}

size_t memory_bytes = MemoryToBeginWith();
std::map<std::byte*, size_t> device_memory, pinned_memory;  // where and how long

size_t Pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void* Map(size_t bytes, int rights) {
  void* memory = mmap(nullptr, Pages(bytes), rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, Pages(bytes), MADV_HUGEPAGE);  // rights change quicker
  return memory;
}

size_t Total(const std::map<std::byte*, size_t>& memory) {
  size_t bytes = 0;
  for (const auto& [at, length] : memory) bytes += length;
  return bytes;
}

bool IsWithin(const std::map<std::byte*, size_t>& memory, const void* at, size_t bytes) {
  auto* begin = static_cast<std::byte*>(const_cast<void*>(at));
  auto found = memory.upper_bound(begin);
  if (found == memory.begin()) return false;
  --found;
  return begin + bytes <= found->first + found->second;
}

void Forget(std::map<std::byte*, size_t>* memory, void* at) {
  const auto found = memory->find(static_cast<std::byte*>(at));
  munmap(at, Pages(found->second));
  memory->erase(found);
}

bool CanCopy(const void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
  const auto& targets = kind == cudaMemcpyDeviceToHost ? pinned_memory : device_memory;
  const auto& sources = kind == cudaMemcpyHostToDevice ? pinned_memory : device_memory;
  return IsWithin(targets, target, bytes) && IsWithin(sources, source, bytes);
}

}  // namespace

namespace cairn::cuda_on_cpu {

void SetMemory(size_t bytes) { memory_bytes = bytes; }

size_t MemoryInUse() { return Total(device_memory) + Total(pinned_memory); }

void ProtectDeviceMemory(int rights) {
  for (const auto& [at, bytes] : device_memory) mprotect(at, Pages(bytes), rights);
}

bool IsDeviceMemory(const void* memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  return IsWithin(device_memory, memory, bytes);
}

}  // namespace cairn::cuda_on_cpu

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const std::lock_guard lock(mutex);
  *total_bytes = memory_bytes;
  *free_bytes = memory_bytes - std::min(memory_bytes, Total(device_memory));
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (Fails()) return cudaErrorUnknown;
  if (Total(device_memory) + bytes > memory_bytes) return Say(cudaErrorMemoryAllocation);
  *memory = Map(bytes, PROT_READ | PROT_WRITE);
  if (*memory == nullptr) return Say(cudaErrorMemoryAllocation);
  // NaN of any type, as nobody has written there; not bytes that a memset may have written.
  std::fill_n(static_cast<uint16_t*>(*memory), Pages(bytes) / sizeof(uint16_t), uint16_t{0xffd5});
  mprotect(*memory, Pages(bytes), PROT_NONE);
  device_memory[static_cast<std::byte*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  // As CUDA does: waits for all that may use it.
  const cudaError_t error = RunAll();
  Forget(&device_memory, memory);
  return error;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const std::lock_guard lock(mutex);
  *attributes = {.type = cudaMemoryTypeUnregistered, .device = -2};
  if (IsWithin(pinned_memory, memory, 1)) *attributes = {.type = cudaMemoryTypeHost, .device = 0};
  if (IsWithin(device_memory, memory, 1)) *attributes = {.type = cudaMemoryTypeDevice, .device = 0};
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (Fails()) return cudaErrorUnknown;
  *memory = Map(bytes, PROT_READ | PROT_WRITE);
  if (*memory == nullptr) return Say(cudaErrorMemoryAllocation);
  pinned_memory[static_cast<std::byte*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  const cudaError_t error = RunAll();
  Forget(&pinned_memory, memory);
  return error;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  if (!CanCopy(target, source, bytes, kind)) return Say(cudaErrorInvalidValue);
  ++counts.copies;
  return Put(stream, {.run = [=] {
               std::memcpy(target, source, bytes);
               const Seen seen;
               SeeCopy(target, source, bytes);
               return cudaSuccess;
             }});
}

cudaError_t cudaMemcpy2DAsync(void* target, size_t target_stride, const void* source,
                              size_t source_stride, size_t bytes, size_t count, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  if (count == 0) return cudaSuccess;
  if (target_stride > kMostPitch || source_stride > kMostPitch) {
    return Say(cudaErrorInvalidPitchValue);
  }
  if (bytes > target_stride || bytes > source_stride || !CanCopy(target, source, bytes, kind) ||
      !CanCopy(static_cast<std::byte*>(target) + (count - 1) * target_stride,
               static_cast<const std::byte*>(source) + (count - 1) * source_stride, bytes, kind)) {
    return Say(cudaErrorInvalidValue);
  }
  ++counts.copies;
  return Put(stream, {.run = [=] {
               for (size_t i = 0; i < count; ++i) {
                 auto* to = static_cast<std::byte*>(target) + i * target_stride;
                 const auto* from = static_cast<const std::byte*>(source) + i * source_stride;
                 std::memcpy(to, from, bytes);
                 const Seen seen;
                 SeeCopy(to, from, bytes);
               }
               return cudaSuccess;
             }});
}

cudaError_t cudaMemcpyBatchAsync(void* const* targets, const void* const* sources,
                                 const size_t* sizes, size_t count, cudaMemcpyAttributes*,
                                 size_t* firsts, size_t attribute_count, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  if (count == 0 || attribute_count != 1 || firsts[0] != 0 || stream == nullptr) {
    return Say(cudaErrorInvalidValue);
  }
  struct Copy {
    void* target;
    const void* source;
    size_t bytes;
  };
  std::vector<Copy> copies;
  for (size_t i = 0; i < count; ++i) {
    if (!CanCopy(targets[i], sources[i], sizes[i], cudaMemcpyHostToDevice)) {
      return Say(cudaErrorInvalidValue);
    }
    copies.push_back({targets[i], sources[i], sizes[i]});
  }
  ++counts.copies;
  ++counts.batches;
  return Put(stream, {.run = [copies = std::move(copies)] {
               for (const Copy& copy : copies) {
                 std::memcpy(copy.target, copy.source, copy.bytes);
                 const Seen seen;
                 SeeCopy(copy.target, copy.source, copy.bytes);
               }
               return cudaSuccess;
             }});
}

cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  if (!IsWithin(device_memory, target, bytes)) return Say(cudaErrorInvalidValue);
  return Put(stream, {.run = [=] {
               std::memset(target, value, bytes);
               const Seen seen;
               SeeWrite(target, bytes);
               return cudaSuccess;
             }});
}
