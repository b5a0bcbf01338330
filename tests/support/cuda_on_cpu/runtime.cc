#include "tests/support/cuda_on_cpu/runtime.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
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

int devices = 1;
size_t shared_bytes = 163 << 10;
thread_local uintptr_t context = 0;  // number of a device and 1; 0: none
std::vector<std::unique_ptr<CUevent_st>> events;
cudaError_t failed = cudaSuccess;  // of something that ran; stays
cudaError_t last = cudaSuccess;
int calls_to_failure = 0;   // 0: none fails
uint64_t microseconds = 0;  // of all devices together

// Device memory can be touched while there is one.
class OnDevice {
 public:
  OnDevice() { Protect(PROT_READ | PROT_WRITE); }
  ~OnDevice() { Protect(PROT_NONE); }

 private:
  static void Protect(int rights) { ProtectDeviceMemory(rights); }
};

bool CanRun(const CUstream_st& stream) {
  if (stream.queue.empty()) return false;
  const Operation& next = stream.queue.front();
  return next.after == nullptr || next.after->passed >= next.times;
}

bool IsNamed(const CUevent_st& event) {
  const auto waits = [&](const Operation& operation) { return operation.after == &event; };
  const auto on_queue = [&](const auto& stream) {
    return std::any_of(stream->queue.begin(), stream->queue.end(), waits);
  };
  return event.passed != event.recorded || std::any_of(streams.begin(), streams.end(), on_queue);
}

// As the stream's fiber. What overlaps begins with what was before the launch before it, if that
// is what was put there last; and if that overlaps too, before the one before that.
GridOrigin OriginOf(CUstream_st* stream, const Operation& operation) {
  GridOrigin origin = {.stream = stream, .overlaps = operation.overlaps};
  if constexpr (!kThreadSanitizer) return origin;
  void* const before = std::exchange(stream->before_launch, nullptr);
  if (operation.overlaps && before != nullptr) {
    origin.before = NewToken();
    ReleaseTo(origin.before);
    char* const put = operation.put;
    void* const own = stream->fiber;
    GoOnAs(before);  // nothing is read here, which would be seen
    AcquireFrom(put);
    void* const beside = NewFiber();
    GoOnAs(own);
    origin.fiber = beside;
    stream->before_launch = before;
    return origin;
  }
  if (before != nullptr) ForgetFiber(before);
  if (operation.launch) stream->before_launch = NewFiber();
  return origin;
}

// What comes of it is for the stream alone until somebody waits for that. This stack is the host's,
// so accesses are seen where they say so.
cudaError_t RunAsStream(CUstream_st* stream, Operation* operation) {
  void* const host = RunningFiber();
  cudaError_t error = cudaSuccess;
  char* const done = stream->done;
  GoOnAs(stream->fiber);
  {
    const Unseen unseen;
    AcquireFrom(operation->put);
    if (operation->after != nullptr) AcquireFrom(operation->after_passed);
    RunFor(OriginOf(stream, *operation));
    if (operation->run) error = operation->run();
    RunFor({});
    operation->run = nullptr;
    ReleaseTo(done);
  }
  GoOnAs(host);
  return error;
}

// The next of some stream; false if none can go on.
bool RunOne() {
  std::vector<cudaStream_t> ready;
  for (const auto& stream : streams) {
    if (CanRun(*stream)) ready.push_back(stream.get());
  }
  if (ready.empty()) return false;
  cudaStream_t stream = ready[DrawStream(ready.size())];
  Operation operation = std::move(stream->queue.front());
  stream->queue.pop_front();
  if (failed != cudaSuccess) operation.run = nullptr;
  if (operation.run && operation.takes_time) ++microseconds;
  const cudaError_t error = RunAsStream(stream, &operation);
  if (error != cudaSuccess) failed = error;
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
  operation.put = NewToken();
  ReleaseTo(operation.put);
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
void SetSharedMemory(size_t bytes) { shared_bytes = bytes; }
size_t MostSharedBytes() { return shared_bytes; }
bool HasContext() { return context != 0; }
void TakeContext() {
  if (context == 0) context = 1;
}

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
  const auto held =
      std::count_if(events.begin(), events.end(), [](const auto& one) { return !one->destroyed; });
  return MemoryInUse() + streams.size() + static_cast<size_t>(held) + graphs.size();
}

cudaError_t RunAll() {
  const cudaError_t error = RunUntil([] { return false; });
  for (const auto& stream : streams) AcquireFrom(stream->done);
  return error;
}

cudaError_t PutLaunch(cudaStream_t stream, std::function<bool()> kernel, bool overlaps) {
  const std::lock_guard lock(mutex);
  const auto run = [kernel = std::move(kernel)] {
    return kernel() ? cudaSuccess : cudaErrorLaunchFailure;
  };
  if (stream == nullptr) {
    ++counts.launches;
    RunFor({.overlaps = overlaps});
    const cudaError_t error = run();
    RunFor({});
    return error;
  }
  if (Fails()) return cudaErrorUnknown;
  return Put(stream, {.run = run, .launch = true, .overlaps = overlaps});
}

bool CallFails() {
  const std::lock_guard lock(mutex);
  return Fails();
}

}  // namespace cairn::cuda_on_cpu

cudaError_t cudaGetDeviceCount(int* count) {
  *count = devices;
  return Say(devices == 0 ? cudaErrorNoDevice : cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device >= devices) return Say(cudaErrorInvalidDevice);
  size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  *properties = {.name = "CPU",
                 .totalGlobalMem = total_bytes,
                 .sharedMemPerBlock = size_t{48} << 10,
                 .warpSize = kWarpThreads,
                 .maxThreadsPerBlock = 1024,
                 .major = 8,
                 .minor = 0,
                 .multiProcessorCount = 2};
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < devices) context = static_cast<uintptr_t>(device) + 1;
  return Say(device < devices ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int* device) {
  *device = context == 0 ? 0 : static_cast<int>(context - 1);
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  int (*const get)(void**) = [](void** current) {
    *current = reinterpret_cast<void*>(context);
    return 0;
  };
  int (*const set)(void*) = [](void* current) {
    context = reinterpret_cast<uintptr_t>(current);
    return 0;
  };
  const std::string_view wanted = name;
  *function = wanted == "cuCtxGetCurrent"   ? reinterpret_cast<void*>(get)
              : wanted == "cuCtxSetCurrent" ? reinterpret_cast<void*>(set)
                                            : nullptr;
  *result = *function != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  if (device >= devices) return Say(cudaErrorInvalidDevice);
  *value = static_cast<int>(shared_bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  *stream = streams.emplace_back(std::make_unique<CUstream_st>()).get();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cairn::cuda_on_cpu::TakeContext();
  const std::lock_guard lock(mutex);
  std::erase_if(streams, [&](const auto& one) { return one.get() == stream; });
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  cairn::cuda_on_cpu::TakeContext();
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  const bool fails = Fails();
  counts.waits += fails ? 0 : 1;
  const cudaError_t error = RunUntil([&] { return stream->queue.empty(); });
  AcquireFrom(stream->done);
  return fails ? cudaErrorUnknown : error;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(mutex);
  if (stream->captured != nullptr && BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (Fails()) return cudaErrorUnknown;
  return Put(
      stream,
      {.run = {}, .after = event, .times = event->recorded, .after_passed = event->last_passed});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  *event = events.emplace_back(std::make_unique<CUevent_st>()).get();
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

// Waits for nothing: what was recorded, and who waits for it, comes later.
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  cairn::cuda_on_cpu::TakeContext();
  const std::lock_guard lock(mutex);
  event->destroyed = true;
  std::erase_if(events, [](const auto& one) { return one->destroyed && !IsNamed(*one); });
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  ++event->recorded;
  event->last_passed = NewToken();
  const auto pass = [event, passed = event->last_passed] {
    ReleaseTo(passed);
    ++event->passed;
    event->microseconds = microseconds;
    return cudaSuccess;
  };
  return Put(stream, {.run = pass, .takes_time = false});
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  if (failed != cudaSuccess) return Say(failed);
  if (event->passed != event->recorded) return Say(cudaErrorNotReady);
  AcquireFrom(event->last_passed);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  if (BreaksCapture()) return cudaErrorStreamCaptureUnsupported;
  const bool fails = Fails();
  counts.waits += fails ? 0 : 1;
  const cudaError_t error = RunUntil([&] { return event->passed == event->recorded; });
  AcquireFrom(event->last_passed);
  return fails ? cudaErrorUnknown : error;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const std::lock_guard lock(mutex);
  if (failed != cudaSuccess) return Say(failed);
  if (!from->timed || !to->timed || from->recorded == 0 || to->recorded == 0) {
    return Say(cudaErrorInvalidResourceHandle);
  }
  if (from->passed != from->recorded || to->passed != to->recorded) return Say(cudaErrorNotReady);
  const double passed =
      static_cast<double>(to->microseconds) - static_cast<double>(from->microseconds);
  *milliseconds = static_cast<float>(passed / 1e3);
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const std::lock_guard lock(mutex);
  return std::exchange(last, cudaSuccess);
}
