// What runtime.cc and graph.cc share.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/cuda_on_cpu/runtime.h"

// Times it was put on a queue, and times that place has run.
struct CUevent_st {
  uint64_t recorded = 0;
  uint64_t passed = 0;
};

namespace cairn::cuda_on_cpu {

struct Operation {
  std::function<cudaError_t()> run;
  const CUevent_st* after = nullptr;  // runs not before it has passed so often
  uint64_t times = 0;
  bool launch = false;  // of a kernel
};

}  // namespace cairn::cuda_on_cpu

struct CUgraph_st {
  std::vector<cairn::cuda_on_cpu::Operation> operations;
};
struct CUgraphExec_st : CUgraph_st {};

struct CUstream_st {
  std::deque<cairn::cuda_on_cpu::Operation> queue;
  std::unique_ptr<CUgraph_st> captured;  // while it captures
  bool broken = false;                   // the capture
  std::thread::id capturing;             // whose
};

namespace cairn::cuda_on_cpu {

/// Guards all of it.
extern std::recursive_mutex mutex;
extern std::vector<std::unique_ptr<CUstream_st>> streams;
extern std::vector<std::unique_ptr<CUgraphExec_st>> graphs;
extern RuntimeCounts counts;

/// Whether this call, which can, is to fail.
bool Fails();
/// What cudaGetLastError will tell.
cudaError_t Say(cudaError_t error);
/// Puts it at the end of a stream, or of what that captures.
cudaError_t Put(cudaStream_t stream, Operation operation);
/// As CUDA does where a thread captures: what a graph cannot have breaks the capture.
bool BreaksCapture();

}  // namespace cairn::cuda_on_cpu
