// Devices by CUDA's run time.
#include <cuda_runtime.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "base/check.h"
#include "base/device.h"

namespace cairn {
namespace {

Status Check(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return Ok();
  (void)cudaGetLastError();  // else the next call that succeeds reports it once more
  return Fail(Errc::kIo, "CUDA: {}: {}", what, cudaGetErrorString(error));
}

cudaError_t CopyEach(std::span<std::byte* const> targets, std::span<const std::byte* const> sources,
                     size_t bytes, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  for (size_t i = 0; i < targets.size() && error == cudaSuccess; ++i) {
    error = cudaMemcpyAsync(targets[i], sources[i], bytes, cudaMemcpyHostToDevice, stream);
  }
  return error;
}

// One call where CUDA has it (the run time from 13.0 on, and a driver that goes with it).
cudaError_t CopyBatch(std::span<std::byte* const> targets,
                      std::span<const std::byte* const> sources, size_t bytes,
                      cudaStream_t stream) {
#if CUDART_VERSION >= 13000
  std::vector<void*> to(targets.begin(), targets.end());
  const std::vector<const void*> from(sources.begin(), sources.end());
  const std::vector<size_t> sizes(targets.size(), bytes);
  cudaMemcpyAttributes attributes = {};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t first = 0;
  const cudaError_t error = cudaMemcpyBatchAsync(to.data(), from.data(), sizes.data(), to.size(),
                                                 &attributes, &first, 1, stream);
  if (error != cudaErrorNotSupported && error != cudaErrorCallRequiresNewerDriver) return error;
  (void)cudaGetLastError();
#endif
  return CopyEach(targets, sources, bytes, stream);
}

constexpr size_t kMostStride = (size_t{1} << 31) - 1;  // cudaDevAttrMaxPitch, of all devices so far

// Pieces go in one call, or in one for each where they lie too far apart for that.
bool AreFarApart(const DeviceStream::Pieces& pieces) {
  return std::max(pieces.target_stride, pieces.source_stride) > kMostStride;
}
uint64_t CallsFor(const DeviceStream::Pieces& pieces) {
  return AreFarApart(pieces) ? pieces.count : 1;
}

cudaError_t CopyPieces(std::byte* target, const std::byte* source,
                       const DeviceStream::Pieces& pieces, cudaMemcpyKind kind,
                       cudaStream_t stream) {
  if (!AreFarApart(pieces)) {
    return cudaMemcpy2DAsync(target, pieces.target_stride, source, pieces.source_stride,
                             pieces.bytes, pieces.count, kind, stream);
  }
  cudaError_t error = cudaSuccess;
  for (size_t i = 0; i < pieces.count && error == cudaSuccess; ++i) {
    error = cudaMemcpyAsync(target + i * pieces.target_stride, source + i * pieces.source_stride,
                            pieces.bytes, kind, stream);
  }
  return error;
}

thread_local DeviceScope* scope = nullptr;

// The run time has no way to put back a context that is not its own, or none.
void* DriverFunction(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result);
#else
  const cudaError_t error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  if (error != cudaSuccess) (void)cudaGetLastError();
  return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? found : nullptr;
}

void* CurrentContext() {
  static const auto get = reinterpret_cast<int (*)(void**)>(DriverFunction("cuCtxGetCurrent"));
  void* context = nullptr;
  return get != nullptr && get(&context) == 0 ? context : nullptr;
}

void SetCurrentContext(void* context) {
  static const auto set = reinterpret_cast<int (*)(void*)>(DriverFunction("cuCtxSetCurrent"));
  if (set != nullptr) (void)set(context);
}

}  // namespace

void DeviceRelease::operator()(std::byte* memory) const {
  (void)device->Use();
  (void)cudaFree(memory);
}

void DeviceRelease::operator()(CUevent_st* event) const {
  (void)device->Use();
  (void)cudaEventDestroy(event);
}

void DeviceRelease::operator()(CUstream_st* stream) const {
  (void)device->Use();
  (void)cudaStreamSynchronize(stream);
  (void)cudaStreamDestroy(stream);
}

void GraphRelease::operator()(CUgraphExec_st* graph) const {
  (void)Device::Use(device);
  (void)cudaGraphExecDestroy(graph);
}

void PinnedRelease::operator()(std::byte* memory) const {
  (void)device->Use();
  (void)cudaFreeHost(memory);
}

Result<bool> DeviceEvent::Passed() const {
  CAIRN_TRY(event_.get_deleter().device->Use());
  const cudaError_t error = cudaEventQuery(event_.get());
  if (error == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return false;
  }
  CAIRN_TRY(Check("asking for an event", error));
  return true;
}

Status DeviceEvent::Wait() const {
  CAIRN_TRY(event_.get_deleter().device->Use());
  ++event_.get_deleter().device->waits_;
  return Check("waiting for an event", cudaEventSynchronize(event_.get()));
}

Status DeviceStream::Use() const { return stream_.get_deleter().device->Use(); }

Result<double> DeviceEvent::SecondsSince(const DeviceEvent& earlier) const {
  CAIRN_TRY(event_.get_deleter().device->Use());
  float milliseconds = 0;
  CAIRN_TRY(Check("reading the device's clock",
                  cudaEventElapsedTime(&milliseconds, earlier.event_.get(), event_.get())));
  return milliseconds / 1e3;
}

void DeviceStream::Count(const DeviceCounts& more) {
  if (!capturing_) {
    stream_.get_deleter().device->Count(more);
    return;
  }
  captured_.copies += more.copies;
  captured_.batched_blocks += more.batched_blocks;
  captured_.bytes_to_device += more.bytes_to_device;
  captured_.bytes_to_host += more.bytes_to_host;
}

Status DeviceStream::CopyToDevice(std::byte* target, const std::byte* pinned_source, size_t bytes) {
  CAIRN_TRY(Use());
  Count({.copies = 1, .bytes_to_device = bytes});
  return Check("copying to the device",
               cudaMemcpyAsync(target, pinned_source, bytes, cudaMemcpyHostToDevice, get()));
}

Status DeviceStream::CopyToHost(std::byte* pinned_target, const std::byte* source, size_t bytes) {
  CAIRN_TRY(Use());
  Count({.copies = 1, .bytes_to_host = bytes});
  return Check("copying to the host",
               cudaMemcpyAsync(pinned_target, source, bytes, cudaMemcpyDeviceToHost, get()));
}

Status DeviceStream::CopyBatchToDevice(std::span<std::byte* const> targets,
                                       std::span<const std::byte* const> pinned_sources,
                                       size_t bytes) {
  CAIRN_CHECK(targets.size() == pinned_sources.size());
  if (targets.empty()) return Ok();
  CAIRN_TRY(Use());
  Count({.copies = 1, .batched_blocks = targets.size(), .bytes_to_device = targets.size() * bytes});
  return Check("copying blocks to the device", CopyBatch(targets, pinned_sources, bytes, get()));
}

Status DeviceStream::CopyPiecesToDevice(std::byte* target, const std::byte* pinned_source,
                                        const Pieces& pieces) {
  CAIRN_TRY(Use());
  Count({.copies = CallsFor(pieces), .bytes_to_device = pieces.bytes * pieces.count});
  return Check("copying to the device",
               CopyPieces(target, pinned_source, pieces, cudaMemcpyHostToDevice, get()));
}

Status DeviceStream::CopyPiecesOnDevice(std::byte* target, const std::byte* source,
                                        const Pieces& pieces) {
  CAIRN_TRY(Use());
  Count({.copies = CallsFor(pieces)});
  return Check("copying on the device",
               CopyPieces(target, source, pieces, cudaMemcpyDeviceToDevice, get()));
}

Status DeviceStream::CopyPiecesToHost(std::byte* pinned_target, const std::byte* source,
                                      const Pieces& pieces) {
  CAIRN_TRY(Use());
  Count({.copies = CallsFor(pieces), .bytes_to_host = pieces.bytes * pieces.count});
  return Check("copying to the host",
               CopyPieces(pinned_target, source, pieces, cudaMemcpyDeviceToHost, get()));
}

Status DeviceStream::Fill(std::byte* target, uint8_t value, size_t bytes) {
  CAIRN_TRY(Use());
  return Check("filling memory", cudaMemsetAsync(target, value, bytes, get()));
}

Status DeviceStream::BeginCapture() {
  CAIRN_TRY(Use());
  CAIRN_TRY(Check("capturing", cudaStreamBeginCapture(get(), cudaStreamCaptureModeThreadLocal)));
  captured_ = {};
  capturing_ = true;
  return Ok();
}

Result<DeviceGraph> DeviceStream::EndCapture() {
  capturing_ = false;
  cudaGraph_t captured = nullptr;
  CAIRN_TRY(Check("capturing", cudaStreamEndCapture(get(), &captured)));
  DeviceGraph graph;
  cudaGraphExec_t made = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&made, captured, 0);
  (void)cudaGraphDestroy(captured);
  CAIRN_TRY(Check("making a graph", error));
  graph.graph_ = {made, GraphRelease{stream_.get_deleter().device->number_}};
  graph.counts_ = captured_;
  graph.counts_.launches = 1;
  return graph;
}

Status DeviceStream::Run(const DeviceGraph& graph) {
  CAIRN_TRY(Use());
  Count(graph.counts_);
  return Check("launching a graph", cudaGraphLaunch(graph.graph_.get(), get()));
}

Status DeviceStream::Record(DeviceEvent& event) {
  CAIRN_TRY(Use());
  return Check("recording an event", cudaEventRecord(event.event_.get(), get()));
}

Status DeviceStream::WaitFor(const DeviceEvent& event) {
  CAIRN_TRY(Use());
  return Check("ordering streams", cudaStreamWaitEvent(get(), event.event_.get(), 0));
}

Status DeviceStream::Wait() {
  CAIRN_TRY(Use());
  ++stream_.get_deleter().device->waits_;
  return Check("waiting for a stream", cudaStreamSynchronize(get()));
}

std::string Device::Api() {
  return fmt::format("CUDA {}.{}", CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100);
}

int32_t Device::Count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

Result<std::unique_ptr<Device>> Device::Open(int32_t number) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    return Fail(Errc::kNotFound,
                "CUDA finds no device: {}; install NVIDIA's driver, or use --device cpu",
                cudaGetErrorString(error));
  }
  if (number < 0 || number >= count) {
    return Fail(Errc::kNotFound, "there is no device cuda:{}; there are {}, numbered from 0",
                number, count);
  }
  cudaDeviceProp properties = {};
  CAIRN_TRY(Check("asking for a device", cudaGetDeviceProperties(&properties, number)));
  if (properties.major < 8) {
    return Fail(Errc::kUnsupported,
                "cuda:{} is a {} of compute capability {}.{}; cairn needs 8.0 (A100) or newer, or "
                "--device cpu",
                number, properties.name, properties.major, properties.minor);
  }
  std::unique_ptr<Device> device(
      new Device(number, properties.name, properties.multiProcessorCount));
  CAIRN_TRY(device->Use());
  return device;
}

Status Device::Use() const { return Use(number_); }

Status Device::Use(int32_t number) {
  if (scope != nullptr && !scope->used_) {
    scope->used_ = true;
    scope->before_ = CurrentContext();
  }
  return Check("choosing a device", cudaSetDevice(number));
}

DeviceScope::DeviceScope() : outer_(scope) { scope = this; }

DeviceScope::~DeviceScope() {
  scope = outer_;
  if (used_) SetCurrentContext(before_);
}

std::string Device::Name() const { return fmt::format("cuda:{}", number_); }

Result<uint64_t> Device::FreeBytes() {
  CAIRN_TRY(Use());
  size_t free_bytes = 0, total_bytes = 0;
  CAIRN_TRY(Check("asking for free memory", cudaMemGetInfo(&free_bytes, &total_bytes)));
  return free_bytes;
}

Result<DeviceBuffer> Device::Allocate(size_t bytes) {
  CAIRN_TRY(Use());
  DeviceBuffer buffer;
  void* memory = nullptr;
  const cudaError_t error = bytes == 0 ? cudaSuccess : cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    CAIRN_TRY(const uint64_t free_bytes, FreeBytes());
    return Fail(Errc::kResource,
                "{} has {} free and {} were asked for; use a smaller memory budget", Name(),
                FormatByteSize(free_bytes), FormatByteSize(bytes));
  }
  CAIRN_TRY(Check("allocating memory", error));
  buffer.data_ = {static_cast<std::byte*>(memory), DeviceRelease{this}};
  buffer.bytes_ = bytes;
  return buffer;
}

Result<PinnedBuffer> Device::AllocatePinned(size_t bytes) {
  CAIRN_TRY(Use());
  PinnedBuffer buffer;
  void* memory = nullptr;
  const cudaError_t error =
      bytes == 0 ? cudaSuccess : cudaHostAlloc(&memory, bytes, cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return Fail(Errc::kResource,
                "the system gives no {} of page-locked memory; use a smaller --host-memory",
                FormatByteSize(bytes));
  }
  CAIRN_TRY(Check("allocating page-locked memory", error));
  buffer.data_ = {static_cast<std::byte*>(memory), PinnedRelease{this}};
  buffer.bytes_ = bytes;
  return buffer;
}

Result<DeviceStream> Device::MakeStream() {
  CAIRN_TRY(Use());
  DeviceStream stream;
  cudaStream_t made = nullptr;
  CAIRN_TRY(Check("making a stream", cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking)));
  stream.stream_ = {made, DeviceRelease{this}};
  return stream;
}

Result<DeviceEvent> Device::MakeEvent() { return MakeEventOf(cudaEventDisableTiming); }
Result<DeviceEvent> Device::MakeTimedEvent() { return MakeEventOf(cudaEventDefault); }

Result<DeviceEvent> Device::MakeEventOf(unsigned flags) {
  CAIRN_TRY(Use());
  DeviceEvent event;
  cudaEvent_t made = nullptr;
  CAIRN_TRY(Check("making an event", cudaEventCreateWithFlags(&made, flags)));
  event.event_ = {made, DeviceRelease{this}};
  return event;
}

DeviceCounts Device::Counts() const {
  return {copies_, batched_blocks_, bytes_to_device_, bytes_to_host_, waits_, launches_};
}

void Device::Count(const DeviceCounts& more) {
  copies_ += more.copies;
  batched_blocks_ += more.batched_blocks;
  bytes_to_device_ += more.bytes_to_device;
  bytes_to_host_ += more.bytes_to_host;
  launches_ += more.launches;
}

}  // namespace cairn
