// Graphs, and CUDA's words for errors.
#include "tests/support/cuda_on_cpu/runtime_state.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

using cairn::cuda_on_cpu::counts;
using cairn::cuda_on_cpu::Fails;
using cairn::cuda_on_cpu::graphs;
using cairn::cuda_on_cpu::mutex;
using cairn::cuda_on_cpu::Operation;
using cairn::cuda_on_cpu::Put;
using cairn::cuda_on_cpu::Say;
using cairn::cuda_on_cpu::streams;

namespace cairn::cuda_on_cpu {

bool BreaksCapture() {
  bool capturing = false;
  for (const auto& stream : streams) {
    if (stream->captured == nullptr || stream->capturing != std::this_thread::get_id()) continue;
    capturing = stream->broken = true;
  }
  if (capturing) Say(cudaErrorStreamCaptureUnsupported);
  return capturing;
}

}  // namespace cairn::cuda_on_cpu

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard lock(mutex);
  ++counts.captures;
  if (Fails()) return cudaErrorUnknown;
  stream->captured = std::make_unique<CUgraph_st>();
  stream->broken = false;
  stream->capturing = std::this_thread::get_id();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(mutex);
  std::unique_ptr<CUgraph_st> captured = std::move(stream->captured);
  if (Fails()) return cudaErrorUnknown;
  if (stream->broken) return Say(cudaErrorStreamCaptureUnsupported);
  *graph = captured.release();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  auto& one = graphs.emplace_back(std::make_unique<CUgraphExec_st>());
  one->operations = graph->operations;
  *made = one.get();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::unique_ptr<CUgraph_st> owned(graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Fails()) return cudaErrorUnknown;
  for (const Operation& operation : graph->operations) Put(stream, operation);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  cairn::cuda_on_cpu::TakeContext();
  const std::lock_guard lock(mutex);
  std::erase_if(graphs, [&](const auto& one) { return one.get() == graph; });
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidPitchValue:
      return "invalid pitch argument";
    case cudaErrorCallRequiresNewerDriver:
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorUnknown:
      return "unknown error";
    case cudaErrorLaunchFailure:
      return cairn::cuda_on_cpu::Failure().c_str();
  }
  return "unknown";
}
