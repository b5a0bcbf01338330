// Element-wise parts of a transformer layer.
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {
namespace {

constexpr int kNumbers = 4;  // of a thread at once
constexpr int kBlockNumbers = kThreads * kNumbers;
constexpr int kLoads = 4;  // of logits, under way at once

struct Four {
  float numbers[kNumbers];
};

__device__ __forceinline__ Four LoadFour(const float* from) {
  Four four;
  CopyFloats<kNumbers>(from, four.numbers);
  return four;
}

__device__ __forceinline__ std::byte* RowAt(Element element, std::byte* y, int64_t index) {
  return y + index * (element == Element::kF32 ? 4 : 2);
}

// Numbers index … index+3 of a row that begins at `row`.
__device__ __forceinline__ void StoreFour(Element element, const Four& four, std::byte* row,
                                          int64_t index) {
  uint32_t bits[kNumbers];
#pragma unroll
  for (int i = 0; i < kNumbers; ++i) bits[i] = __float_as_uint(four.numbers[i]);
  if (element == Element::kF32) {
    const uint4 word = {bits[0], bits[1], bits[2], bits[3]};
    *reinterpret_cast<uint4*>(row + index * 4) = word;
    return;
  }
#pragma unroll
  for (int i = 0; i < kNumbers; ++i) bits[i] = FloatToBf16(four.numbers[i]);
  const uint2 word = {bits[0] | bits[1] << 16, bits[2] | bits[3] << 16};
  *reinterpret_cast<uint2*>(row + index * 2) = word;
}

// `change` makes the number at an index; a thread has four consecutive ones, from `first` on.
template <class Change>
__device__ __forceinline__ void StoreOneByOne(Element element, int64_t first, int64_t count,
                                              std::byte* row, const Change& change) {
  const int64_t end = first + kNumbers < count ? first + kNumbers : count;
  for (int64_t i = first; i < end; ++i) {
    const float value = change(i);
    if (element == Element::kF32) {
      reinterpret_cast<float*>(row)[i] = value;
    } else {
      reinterpret_cast<uint16_t*>(row)[i] = FloatToBf16(value);
    }
  }
}

// Blocks of threads are [rows]; a thread has every so many numbers.
__global__ void __launch_bounds__(kThreads) NormKernel(const NormArgs args) {
  __shared__ float sums[kWarps];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * args.n;
  const float* x = args.x + begin;
  const auto thread = static_cast<int>(threadIdx.x);
  float sum = 0.0f;
  if (args.by_fours) {
    for (int i = thread * kNumbers; i < args.n; i += kBlockNumbers) {
      const Four four = LoadFour(x + i);
#pragma unroll
      for (const float number : four.numbers) sum += number * number;
    }
  } else {
    for (int i = thread; i < args.n; i += kThreads) sum += x[i] * x[i];
  }
  sum = SumOverLanes(sum, kWarp);
  if (thread % kWarp == 0) sums[thread / kWarp] = sum;
  __syncthreads();
  float total = 0.0f;
  for (int i = 0; i < kWarps; ++i) total += sums[i];
  const float mean = __fdiv_rn(total, static_cast<float>(args.n));
  const float factor = __fdiv_rn(1.0f, sqrtf(mean + args.epsilon));
  std::byte* y = RowAt(args.element, args.y, begin);
  for (int i = thread * kNumbers; i < args.n; i += kBlockNumbers) {
    if (args.by_fours) {
      Four four = LoadFour(x + i);
      const Four weight = LoadFour(args.weight + i);
#pragma unroll
      for (int j = 0; j < kNumbers; ++j) {
        four.numbers[j] = four.numbers[j] * factor * weight.numbers[j];
      }
      StoreFour(args.element, four, y, i);
    } else {
      StoreOneByOne(args.element, i, args.n, y,
                    [&](int64_t j) { return x[j] * factor * args.weight[j]; });
    }
  }
}

// Blocks of threads are [rows, heads by warps]; a warp has a head, and each lane reads again only
// what it wrote.
__global__ void __launch_bounds__(kThreads) HeadsKernel(const HeadsArgs args) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int head = static_cast<int>(blockIdx.y) * kWarps + OwnWarp();
  const int heads = args.query_heads + 2 * args.kv_heads;
  if (head >= heads) return;
  const int64_t begin = static_cast<int64_t>(head) * args.head_dim;
  float* x = args.qkv + static_cast<int64_t>(blockIdx.x) * heads * args.head_dim + begin;
  const float* norm = head < args.query_heads                   ? args.query_norm
                      : head < args.query_heads + args.kv_heads ? args.key_norm
                                                                : nullptr;
  float sum = 0.0f;
  for (int i = lane; i < args.head_dim; i += kWarp) {
    float number = x[i];
    if (args.bias != nullptr) {
      number += args.bias[begin + i];
      x[i] = number;
    }
    sum += number * number;
  }
  if (norm == nullptr) return;
  sum = SumOverLanes(sum, kWarp);
  const float mean = __fdiv_rn(sum, static_cast<float>(args.head_dim));
  const float factor = __fdiv_rn(1.0f, sqrtf(mean + args.epsilon));
  for (int i = lane; i < args.head_dim; i += kWarp) x[i] = x[i] * factor * norm[i];
}

__device__ __forceinline__ float Swish(float gate) { return gate / (1.0f + expf(-gate)); }

// Blocks of threads are [rows, parts of a row]; a thread has four numbers.
__global__ void __launch_bounds__(kThreads) SwiGluKernel(const SwiGluArgs args) {
  const int i =
      static_cast<int>(blockIdx.y) * kBlockNumbers + static_cast<int>(threadIdx.x) * kNumbers;
  if (i >= args.ffn) return;
  const int64_t row = blockIdx.x;
  const float* gates = args.gate_up + row * 2 * args.ffn;
  const float* ups = gates + args.ffn;
  std::byte* y = RowAt(args.element, args.y, row * args.ffn);
  if (args.by_fours) {
    Four four = LoadFour(gates + i);
    const Four up = LoadFour(ups + i);
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
      four.numbers[j] = Swish(four.numbers[j]) * up.numbers[j];
    }
    StoreFour(args.element, four, y, i);
  } else {
    StoreOneByOne(args.element, i, args.ffn, y,
                  [&](int64_t j) { return Swish(gates[j]) * ups[j]; });
  }
}

__device__ __forceinline__ int64_t FirstOfThread() {
  return static_cast<int64_t>(blockIdx.x) * kBlockNumbers +
         static_cast<int64_t>(threadIdx.x) * kNumbers;
}

// The last thread may have fewer than four.
__global__ void __launch_bounds__(kThreads) AddKernel(const AddArgs args) {
  if (args.stopped != nullptr && *args.stopped != 0) return;
  const int64_t i = FirstOfThread();
  auto* x = reinterpret_cast<std::byte*>(args.x);
  if (args.by_fours && i + kNumbers <= args.count) {
    Four four = LoadFour(args.x + i);
    const Four other = LoadFour(args.y + i);
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) four.numbers[j] += other.numbers[j];
    StoreFour(Element::kF32, four, x, i);
  } else {
    StoreOneByOne(Element::kF32, i, args.count, x,
                  [&](int64_t j) { return args.x[j] + args.y[j]; });
  }
}

__global__ void __launch_bounds__(kThreads) ConvertKernel(const ConvertArgs args) {
  const int64_t i = FirstOfThread();
  if (args.by_fours && i + kNumbers <= args.count) {
    StoreFour(args.element, LoadFour(args.x + i), args.y, i);
  } else {
    StoreOneByOne(args.element, i, args.count, args.y, [&](int64_t j) { return args.x[j]; });
  }
}

struct Best {
  float logit;
  int id;  // −1: none yet
};

// Ids come in ascending order, so the first of equal ones stays.
__device__ __forceinline__ void Offer(float logit, int id, Best* best) {
  if (logit > best->logit || (best->id < 0 && logit == logit)) *best = {logit, id};
}

// Larger for larger logits, then for lower ids; 0 for none. Adding 0 makes −0 and 0 equal.
__device__ __forceinline__ uint64_t RankOf(const Best& best) {
  if (best.id < 0) return 0;
  const uint32_t bits = __float_as_uint(best.logit + 0.0f);
  const uint32_t ordered = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(ordered) << 32 | ~static_cast<uint32_t>(best.id);
}

__device__ Best BestOfThread(const float* logits, const GreedyArgs& args) {
  Best best = {MinusInfinity(), -1};
  const auto thread = static_cast<int>(threadIdx.x);
  if (!args.by_fours) {
    for (int i = thread; i < args.vocab; i += kThreads) Offer(logits[i], i, &best);
    return best;
  }
  for (int first = thread * kNumbers; first < args.vocab; first += kLoads * kBlockNumbers) {
    Four fours[kLoads];
#pragma unroll
    for (int load = 0; load < kLoads; ++load) {
      const int i = first + load * kBlockNumbers;
      const float nan = __uint_as_float(0x7fffffffu);  // behind the last: never chosen
      fours[load] = i < args.vocab ? LoadFour(logits + i) : Four{{nan, nan, nan, nan}};
    }
#pragma unroll
    for (int load = 0; load < kLoads; ++load) {
#pragma unroll
      for (int j = 0; j < kNumbers; ++j) {
        Offer(fours[load].numbers[j], first + load * kBlockNumbers + j, &best);
      }
    }
  }
  return best;
}

// Blocks of threads are [rows].
__global__ void __launch_bounds__(kThreads) GreedyKernel(const GreedyArgs args) {
  __shared__ uint64_t ranks[kWarps];
  const float* logits = args.logits + static_cast<int64_t>(blockIdx.x) * args.vocab;
  const auto thread = static_cast<int>(threadIdx.x);
  uint64_t rank = RankOf(BestOfThread(logits, args));
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const uint64_t other = __shfl_xor_sync(kAllLanes, rank, apart);
    rank = other > rank ? other : rank;
  }
  if (thread % kWarp == 0) ranks[thread / kWarp] = rank;
  __syncthreads();
  if (thread != 0) return;
  for (int i = 1; i < kWarps; ++i) rank = ranks[i] > rank ? ranks[i] : rank;
  const bool first_is_nan = logits[0] != logits[0];
  args.ids[blockIdx.x] = first_is_nan ? 0 : static_cast<int32_t>(~static_cast<uint32_t>(rank));
}

dim3 BlocksFor(int64_t count) {
  return {static_cast<unsigned>((count + kBlockNumbers - 1) / kBlockNumbers), 1, 1};
}

}  // namespace

const char* LaunchNorm(const NormArgs& args, CUstream_st* stream) {
  return Launch(NormKernel, dim3{static_cast<unsigned>(args.rows), 1, 1}, 0, stream, args);
}

const char* LaunchHeads(const HeadsArgs& args, CUstream_st* stream) {
  const int heads = args.query_heads + 2 * args.kv_heads;
  const dim3 grid{static_cast<unsigned>(args.rows),
                  static_cast<unsigned>((heads + kWarps - 1) / kWarps), 1};
  return Launch(HeadsKernel, grid, 0, stream, args);
}

const char* LaunchAdd(const AddArgs& args, CUstream_st* stream) {
  return Launch(AddKernel, BlocksFor(args.count), 0, stream, args);
}

const char* LaunchSwiGlu(const SwiGluArgs& args, CUstream_st* stream) {
  const dim3 grid{static_cast<unsigned>(args.rows), BlocksFor(args.ffn).x, 1};
  return Launch(SwiGluKernel, grid, 0, stream, args);
}

const char* LaunchConvert(const ConvertArgs& args, CUstream_st* stream) {
  return Launch(ConvertKernel, BlocksFor(args.count), 0, stream, args);
}

const char* LaunchGreedy(const GreedyArgs& args, CUstream_st* stream) {
  return Launch(GreedyKernel, dim3{static_cast<unsigned>(args.rows), 1, 1}, 0, stream, args);
}

}  // namespace cairn::cuda
