// What runtime.cc, memory.cc and graph.cc share.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/cuda_on_cpu/fiber_switch.h"
#include "tests/support/cuda_on_cpu/runtime.h"

// Times it was put on a queue, and times that place has run.
struct CUevent_st {
  uint64_t recorded = 0;
  uint64_t passed = 0;
  char* last_passed = nullptr;  // a token of what is before the last of these places
  bool timed = false;
  uint64_t microseconds = 0;  // when it passed last
  bool destroyed = false;     // is kept as long as a queue names it
};

namespace cairn::cuda_on_cpu {

struct Operation {
  std::function<cudaError_t()> run;
  const CUevent_st* after = nullptr;  // runs not before it has passed so often
  uint64_t times = 0;
  char* after_passed = nullptr;  // of `after`
  char* put = nullptr;           // a token of what was before it was put on a stream
  bool launch = false;           // of a kernel
  bool overlaps = false;
  bool takes_time = true;  // if it does anything
};

}  // namespace cairn::cuda_on_cpu

struct CUgraph_st {
  std::vector<cairn::cuda_on_cpu::Operation> operations;
};
struct CUgraphExec_st : CUgraph_st {};

struct CUstream_st {
  CUstream_st() = default;
  ~CUstream_st() {
    cairn::cuda_on_cpu::ForgetFiber(fiber);
    if (before_launch != nullptr) cairn::cuda_on_cpu::ForgetFiber(before_launch);
  }
  CUstream_st(const CUstream_st&) = delete;
  CUstream_st& operator=(const CUstream_st&) = delete;

  void* const fiber = cairn::cuda_on_cpu::NewFiber();
  void* before_launch = nullptr;  // what was before the last, if nothing was put behind that
  char* const done = cairn::cuda_on_cpu::NewToken();  // a token of all that has run
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
/// All that was put on streams, which the host has then waited for.
cudaError_t RunAll();
/// Bytes of devices and of pinned memory.
size_t MemoryInUse();
void ProtectDeviceMemory(int rights);
/// As CUDA does where a thread captures: what a graph cannot have breaks the capture.
bool BreaksCapture();

}  // namespace cairn::cuda_on_cpu
