// Copies of whole payloads, from anywhere to anywhere.
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {
namespace {

constexpr int kWords = 4;  // that a thread has asked for before it writes one
constexpr int64_t kPieceBytes = int64_t{kThreads} * kWords * 16;

// Blocks of threads are [pieces of a payload, payloads].
__global__ void __launch_bounds__(kThreads)
    GatherKernel(const int64_t bytes, const std::byte* const* sources, std::byte* const* targets) {
  const std::byte* source = sources[blockIdx.y];
  std::byte* target = targets[blockIdx.y];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kPieceBytes;
  const int64_t end = begin + kPieceBytes < bytes ? begin + kPieceBytes : bytes;
  const int64_t whole = end / 16;
  const int64_t first = begin / 16 + threadIdx.x;
  uint4 words[kWords];
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    const int64_t at = first + i * kThreads;
    if (at < whole) words[i] = reinterpret_cast<const uint4*>(source)[at];
  }
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    const int64_t at = first + i * kThreads;
    if (at < whole) reinterpret_cast<uint4*>(target)[at] = words[i];
  }
  const int64_t rest = whole * 16 + threadIdx.x;  // of fewer than 16 bytes
  if (rest < end) target[rest] = source[rest];
}

}  // namespace

const char* LaunchGather(int32_t blocks, int64_t bytes, const std::byte* const* sources,
                         std::byte* const* targets, CUstream_st* stream) {
  const int64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  const dim3 grid{static_cast<unsigned>(pieces), static_cast<unsigned>(blocks), 1};
  return Launch(GatherKernel, grid, 0, stream, bytes, sources, targets);
}

}  // namespace cairn::cuda
