// Stands in for the part of CUDA's run time that base/device_cuda.cc uses: devices, memory, streams
// and events. Included by cuda_runtime.h; what is in namespace cuda_on_cpu is for tests.
//
// A stream is a queue. Nothing on it runs when it is put there; or some of it does, by the seed of
// SetOrderSeed. When the host waits, streams go on until what it waits for has passed, in turns
// that are drawn or one before all others (DrawStream): so copies and kernels run as late, and
// streams as far apart, as waiting and events allow. The host cannot touch device memory (it is
// mapped without rights while nothing of a stream runs), and copies take pinned memory only. A
// failed kernel makes all that follows fail. The null stream, which only kernels' own tests use,
// runs at once, on any memory. While a stream captures, what would break that on CUDA fails here:
// allocating, freeing, waiting, and waiting for events.
//
// Not modelled: copies beside kernels, time, more than one context. By the clock of events a
// launch, a copy and a fill take a microsecond each, so that tests can tell what was timed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace cairn::cuda_on_cpu {

/// What was asked for since the program began.
struct RuntimeCounts {
  uint64_t waits = 0;  ///< of the host: for streams and events
  uint64_t copies = 0;
  uint64_t batches = 0;   ///< of them
  uint64_t launches = 0;  ///< of kernels, one by one or by a graph
  uint64_t captures = 0;  ///< begun, also if that failed
};
RuntimeCounts Counts();

/// Devices from now on (1 to begin with), and the memory of each (64 MiB, or CAIRN_CUDA_ON_CPU_MIB
/// of the environment).
void SetDevices(int count);
void SetMemory(size_t bytes);
/// Shared memory that a block of threads may ask for from now on (163 KiB, as compute
/// capability 8.0 has, to begin with).
void SetSharedMemory(size_t bytes);
size_t MostSharedBytes();
/// Whether the calling thread has a device that is current.
bool HasContext();
/// What most calls do first, those that end things too: a thread without one gets device 0.
void TakeContext();
/// After a kernel failed on purpose.
void ForgetFailure();
/// The call of this number from now on, of those that can fail, fails and does nothing, or says so
/// when what it waited for is over; 0: none.
void FailCall(int number);
/// Whether one is still to fail.
bool FailureIsDue();
/// Bytes allocated on devices and as pinned memory, and how many streams, events and graphs there
/// are.
size_t Leftovers();

}  // namespace cairn::cuda_on_cpu

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidPitchValue = 12,
  cudaErrorCallRequiresNewerDriver = 36,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorUnknown = 999,
};
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };
enum cudaMemoryType {
  cudaMemoryTypeUnregistered = 0,
  cudaMemoryTypeHost = 1,
  cudaMemoryTypeDevice = 2,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
enum cudaMemcpySrcAccessOrder { cudaMemcpySrcAccessOrderStream = 1 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocPortable = 1;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock;
  int warpSize, maxThreadsPerBlock, major, minor, multiProcessorCount;
};
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
};
struct cudaMemcpyAttributes {
  cudaMemcpySrcAccessOrder srcAccessOrder;
};
#define CUDART_VERSION 13000

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
enum cudaDriverEntryPointQueryResult {
  cudaDriverEntryPointSuccess = 0,
  cudaDriverEntryPointSymbolNotFound = 1
};
inline constexpr unsigned long long cudaEnableDefault = 0;
/// Of cuCtxGetCurrent and cuCtxSetCurrent; a context is its device's number plus 1.
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags,
                                             cudaDriverEntryPointQueryResult* result);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
/// Of device 0: which one memory is on is not kept.
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* target, size_t target_stride, const void* source,
                              size_t source_stride, size_t bytes, size_t count, cudaMemcpyKind kind,
                              cudaStream_t stream);
cudaError_t cudaMemcpyBatchAsync(void* const* targets, const void* const* sources,
                                 const size_t* sizes, size_t count,
                                 cudaMemcpyAttributes* attributes, size_t* firsts,
                                 size_t attribute_count, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGetLastError();
/// For a launch that failed, the reason with the place in the kernel.
const char* cudaGetErrorString(cudaError_t error);

namespace cairn::cuda_on_cpu {

/// Runs `kernel` later, in order (now on the null stream). If it overlaps, what threads do before
/// WaitForLaunchBefore is beside the launch before it, for the sanitizer of threads.
cudaError_t PutLaunch(cudaStream_t stream, std::function<bool()> kernel, bool overlaps = false);
/// For other stand-ins: whether this call, which can, is to fail.
bool CallFails();
bool IsDeviceMemory(const void* memory, size_t bytes);

}  // namespace cairn::cuda_on_cpu
