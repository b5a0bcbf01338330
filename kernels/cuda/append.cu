// Rows written into unfinished blocks, and the keys that stand for complete ones.
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/rotate.cuh"

namespace cairn::cuda {
namespace {

// Blocks of threads are [rows, heads]; a thread has every so many pairs of columns.
__global__ void __launch_bounds__(kThreads) AppendKernel(const AppendArgs args) {
  const Layout& layout = args.layout;
  const int dim = layout.head_dim;
  const int place = *args.first_row + static_cast<int>(blockIdx.x);
  const int row = place % layout.block_rows;
  const int64_t source = blockIdx.x * args.stride + static_cast<int64_t>(blockIdx.y) * dim;
  std::byte* payload =
      args.blocks + blockIdx.y * args.head_stride + place / layout.block_rows * args.block_stride;
  std::byte* key = payload + row * layout.row_bytes;
  std::byte* value = payload + layout.values_at + row * layout.row_bytes;
  for (int c = static_cast<int>(threadIdx.x); c < dim / 2; c += kThreads) {
    const Pair pair = PairAt(args.rotation, dim, row, c);
    float a = args.k[source + pair.first];
    float b = args.k[source + pair.second];
    RotatePair(pair, &a, &b);
    WriteNumber(layout.element, a, key, pair.first);
    WriteNumber(layout.element, b, key, pair.second);
    WriteNumber(layout.element, args.v[source + pair.first], value, pair.first);
    WriteNumber(layout.element, args.v[source + pair.second], value, pair.second);
  }
}

// Blocks of threads are [means of a block, blocks]; a thread has every so many columns. Sums are
// taken row by row and rounded after each product, as on a CPU.
__global__ void __launch_bounds__(kThreads) MeansKernel(const MeansArgs args) {
  const Layout& layout = args.layout;
  const int dim = layout.head_dim;
  const int count = args.count == 0 ? 1 : args.count;
  const auto i = static_cast<int>(blockIdx.x);
  const int run = layout.block_rows / count;
  const int begin = args.count == 0 ? layout.block_rows - 1 : i * run;
  const int end = i + 1 == count ? layout.block_rows : begin + run;
  const std::byte* payload = args.payloads[blockIdx.y];
  float* mean = args.means + (static_cast<int64_t>(blockIdx.y) * count + i) * dim;
  for (int c = static_cast<int>(threadIdx.x); c < dim; c += kThreads) {
    const float scale = layout.element == Element::kQ8 ? Scales(layout, payload)[c] : 1.0f;
    float sum = 0.0f;
    for (int row = begin; row < end; ++row) {
      const float number = ReadNumber(layout.element, KeyRow(layout, payload, row), c);
      sum = __fadd_rn(sum, __fmul_rn(number, scale));
    }
    mean[c] = __fmul_rn(sum, __fdiv_rn(1.0f, static_cast<float>(end - begin)));
  }
}

}  // namespace

const char* LaunchAppend(const AppendArgs& args, CUstream_st* stream) {
  const dim3 grid{static_cast<unsigned>(args.rows), static_cast<unsigned>(args.heads), 1};
  return Launch(AppendKernel, grid, 0, stream, args);
}

const char* LaunchMeans(const MeansArgs& args, CUstream_st* stream) {
  const auto means = static_cast<unsigned>(args.count == 0 ? 1 : args.count);
  return Launch(MeansKernel, dim3{means, static_cast<unsigned>(args.blocks), 1}, 0, stream, args);
}

}  // namespace cairn::cuda
