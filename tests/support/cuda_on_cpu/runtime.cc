#include "tests/support/cuda_on_cpu/runtime.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "tests/support/cuda_on_cpu/runtime_state.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn::cuda_on_cpu {

std::recursive_mutex mutex;
std::vector<std::unique_ptr<CUstream_st>> streams;
std::vector<std::unique_ptr<CUgraphExec_st>> graphs;
RuntimeCounts counts;

}  // namespace cairn::cuda_on_cpu

using namespace cairn::cuda_on_cpu;

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostPitch = (size_t{1} << 31) - 1;

size_t MemoryToBeginWith() {
  const char* const mebibytes = std::getenv("CAIRN_CUDA_ON_CPU_MIB");
  return (mebibytes == nullptr ? 64 : std::strtoull(mebibytes, nullptr, 10)) << 20;
}

int devices = 1;
size_t memory_bytes = MemoryToBeginWith();
size_t shared_bytes = 163 << 10;
thread_local int current_device = 0;
std::map<std::byte*, size_t> device_memory, pinned_memory;  // where and how long
std::vector<std::unique_ptr<CUevent_st>> events;
cudaError_t failed = cudaSuccess;  // of something that ran; stays
cudaError_t last = cudaSuccess;
int calls_to_failure = 0;  // 0: none fails

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

// Device memory can be touched while there is one.
class OnDevice {
 public:
  OnDevice() { Protect(PROT_READ | PROT_WRITE); }
  ~OnDevice() { Protect(PROT_NONE); }

 private:
  static void Protect(int rights) {
    for (const auto& [at, bytes] : device_memory) mprotect(at, Pages(bytes), rights);
  }
};

bool CanRun(const CUstream_st& stream) {
  if (stream.queue.empty()) return false;
  const Operation& next = stream.queue.front();
  return next.after == nullptr || next.after->passed >= next.times;
}

// The next of some stream; false if none can go on.
bool RunOne() {
  std::vector<cudaStream_t> ready;
  for (const auto& stream : streams) {
    if (CanRun(*stream)) ready.push_back(stream.get());
  }
  if (ready.empty()) return false;
  cudaStream_t stream = ready[DrawStream(ready.size())];
  const Operation operation = std::move(stream->queue.front());
  stream->queue.pop_front();
  if (operation.run && failed == cudaSuccess) failed = operation.run();
  return true;
}

template <class Condition>
cudaError_t RunUntil(Condition done) {
  if (done()) return Say(failed);
  const OnDevice on_device;
  while (!done() && RunOne()) {
  }
  return Say(failed);
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

bool Fails() {
  if (calls_to_failure == 0 || --calls_to_failure > 0) return false;
  last = cudaErrorUnknown;
  return true;
}

cudaError_t Say(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

// What is put on a stream may run at once, with what is before it, or later.
cudaError_t Put(cudaStream_t stream, Operation operation) {
  if (stream->captured != nullptr) {
    stream->captured->operations.push_back(std::move(operation));
    return cudaSuccess;
  }
  counts.launches += operation.launch ? 1 : 0;
  stream->queue.push_back(std::move(operation));
  if (Draw(4) == 0) {
    const OnDevice on_device;
    for (size_t i = Draw(4); i > 0 && RunOne(); --i) {
    }
  }
  return cudaSuccess;
}

RuntimeCounts Counts() {
  const std::lock_guard lock(mutex);
  return counts;
}

void SetDevices(int count) { devices = count; }
void SetMemory(size_t bytes) { memory_bytes = bytes; }
void SetSharedMemory(size_t bytes) { shared_bytes = bytes; }
size_t MostSharedBytes() { return shared_bytes; }

void ForgetFailure() {
  const std::lock_guard lock(mutex);
  failed = last = cudaSuccess;
}

void FailCall(int number) {
  const std::lock_guard lock(mutex);
  calls_to_failure = number;
}

bool FailureIsDue() {
  const std::lock_guard lock(mutex);
  return calls_to_failure > 0;
}

size_t Leftovers() {
  const std::lock_guard lock(mutex);
  return Total(device_memory) + Total(pinned_memory) + streams.size() + events.size() +
         graphs.size();
}

cudaError_t PutLaunch(cudaStream_t stream, std::function<bool()> kernel) {
  const std::lock_guard lock(mutex);
  const auto run = [kernel = std::move(kernel)] {
    return kernel() ? cudaSuccess : cudaErrorLaunchFailure;
  };
  if (stream == nullptr) {
    ++counts.launches;
    return run();
  }
  if (Fails()) return cudaErrorUnknown;
  return Put(stream, {.run = run, .launch = true});
}

bool CallFails() {
  const std::lock_guard lock(mutex);
  return Fails();
}

bool IsDeviceMemory(const void* memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  return IsWithin(device_memory, memory, bytes);
}

}  // namespace cairn::cuda_on_cpu

cudaError_t cudaGetDeviceCount(int* count) {
  *count = devices;
  return Say(devices == 0 ? cudaErrorNoDevice : cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device >= devices) return Say(cudaErrorInvalidDevice);
  *properties = {.name = "CPU", .major = 8, .minor = 0, .multiProcessorCount = 2};
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < devices) current_device = device;
  return Say(device < devices ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  if (device >= devices) return Say(cudaErrorInvalidDevice);
  *value = static_cast<int>(shared_bytes);
  return cudaSuccess;
}

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
  const cudaError_t error = RunUntil([] { return false; });
  Forget(&device_memory, memory);
  return error;
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
  const cudaError_t error = RunUntil([] { return false; });
  Forget(&pinned_memory, memory);
  return error;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  *stream = streams.emplace_back(std::make_unique<CUstream_st>()).get();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  std::erase_if(streams, [&](const auto& one) { return one.get() == stream; });
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (Fails()) return cudaErrorUnknown;
  ++counts.waits;
  return RunUntil([&] { return stream->queue.empty(); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(mutex);
  if (stream->captured != nullptr && BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (Fails()) return cudaErrorUnknown;
  return Put(stream, {.run = {}, .after = event, .times = event->recorded});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  *event = events.emplace_back(std::make_unique<CUevent_st>()).get();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  RunUntil([&] { return event->passed == event->recorded; });
  std::erase_if(events, [&](const auto& one) { return one.get() == event; });
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  ++event->recorded;
  return Put(stream, {.run = [event] {
               ++event->passed;
               return cudaSuccess;
             }});
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (failed != cudaSuccess) return Say(failed);
  return event->passed == event->recorded ? cudaSuccess : Say(cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (Fails()) return cudaErrorUnknown;
  ++counts.waits;
  return RunUntil([&] { return event->passed == event->recorded; });
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  if (!CanCopy(target, source, bytes, kind)) return Say(cudaErrorInvalidValue);
  ++counts.copies;
  return Put(stream, {.run = [=] {
               std::memcpy(target, source, bytes);
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
                 std::memcpy(static_cast<std::byte*>(target) + i * target_stride,
                             static_cast<const std::byte*>(source) + i * source_stride, bytes);
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
               return cudaSuccess;
             }});
}

cudaError_t cudaGetLastError() {
  const std::lock_guard lock(mutex);
  return std::exchange(last, cudaSuccess);
}
