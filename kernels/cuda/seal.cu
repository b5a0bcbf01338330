// Complete blocks to codes of one byte with a scale of each channel.
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {
namespace {

constexpr float kLargestCode = 127.0f;
constexpr int kChannels = 32;  // of a block of threads
constexpr int kRowThreads = kThreads / kChannels;

/// The nearest whole number to x, which is in [−127, 127]: floats of the size of 1.5 · 2^23 are
/// whole.
__device__ int8_t Rounded(float x) {
  return static_cast<int8_t>(__float_as_uint(__fadd_rn(x, 12582912.0f)) & 0xffu);
}

// Blocks of threads are [runs of channels, blocks, K or V]. A thread has one channel of every so
// many rows.
__global__ void __launch_bounds__(kThreads) SealKernel(const SealArgs args) {
  __shared__ float largest[kRowThreads][kChannels];
  const int dim = args.open.head_dim;
  const int rows = args.open.block_rows;
  const int own = static_cast<int>(threadIdx.x) % kChannels;
  const int first = static_cast<int>(threadIdx.x) / kChannels;
  const int channel = static_cast<int>(blockIdx.x) * kChannels + own;
  const bool values = blockIdx.z == 1;
  const std::byte* source = args.sources[blockIdx.y] + (values ? args.open.values_at : 0);
  std::byte* target = args.targets[blockIdx.y];
  float most = 0.0f;
  if (channel < dim) {
    for (int row = first; row < rows; row += kRowThreads) {
      const float number =
          ReadNumber(args.open.element, source + row * args.open.row_bytes, channel);
      most = fmaxf(most, fabsf(number));
    }
  }
  largest[first][own] = most;
  __syncthreads();
  for (int i = 0; i < kRowThreads; ++i) most = fmaxf(most, largest[i][own]);
  if (channel >= dim) return;
  const float factor = most > 0.0f ? __fdiv_rn(kLargestCode, most) : 0.0f;
  std::byte* codes = target + (values ? args.sealed.values_at : 0);
  for (int row = first; row < rows; row += kRowThreads) {
    const float number = ReadNumber(args.open.element, source + row * args.open.row_bytes, channel);
    reinterpret_cast<int8_t*>(codes + row * args.sealed.row_bytes)[channel] =
        Rounded(__fmul_rn(number, factor));
  }
  if (first == 0) {
    auto* scales = reinterpret_cast<float*>(target + args.sealed.scales_at);
    scales[values ? dim + channel : channel] = __fdiv_rn(most, kLargestCode);
  }
}

}  // namespace

const char* LaunchSeal(const SealArgs& args, CUstream_st* stream) {
  const int runs = (args.open.head_dim + kChannels - 1) / kChannels;
  const dim3 grid{static_cast<unsigned>(runs), static_cast<unsigned>(args.blocks), 2};
  return Launch(SealKernel, grid, 0, stream, args);
}

}  // namespace cairn::cuda
