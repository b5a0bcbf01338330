#include "tests/support/cuda_on_cpu/tensor_core.h"

#include <array>
#include <cstring>
#include <vector>

#include "base/dtype.h"
#include "tests/support/cuda_on_cpu/fiber_switch.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn::cuda_on_cpu {
namespace {

template <class Sum>
struct Product {
  Sum* sums;
  const uint32_t* a;
  const uint32_t* b;
};

struct Load {
  const void* row;
  uint32_t* parts;
};

const std::vector<float> half_numbers = [] {
  std::vector<float> numbers(1 << 16);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = HalfToFloat(static_cast<uint16_t>(i));
  return numbers;
}();

struct HalfNumbers {
  static float At(uint16_t bits) { return half_numbers[bits]; }
};

struct Bf16Numbers {
  static float At(uint16_t bits) { return Bf16ToFloat(bits); }
};

uint16_t Lower(uint32_t pair) { return static_cast<uint16_t>(pair); }
uint16_t Upper(uint32_t pair) { return static_cast<uint16_t>(pair >> 16); }

template <class Numbers>
void Multiply(void* const* lanes) {
  float a[16][16];
  float b[16][8];
  float sums[16][8];
  for (size_t lane = 0; lane < kWarpThreads; ++lane) {
    const auto* of = static_cast<const Product<float>*>(lanes[lane]);
    const size_t g = lane / 4;
    const size_t c = 2 * (lane % 4);
    for (size_t i = 0; i < 4; ++i) {
      a[g + i % 2 * 8][c + i / 2 * 8] = Numbers::At(Lower(of->a[i]));
      a[g + i % 2 * 8][c + i / 2 * 8 + 1] = Numbers::At(Upper(of->a[i]));
      sums[g + i / 2 * 8][c + i % 2] = of->sums[i];
    }
    for (size_t i = 0; i < 2; ++i) {
      b[c + i * 8][g] = Numbers::At(Lower(of->b[i]));
      b[c + i * 8 + 1][g] = Numbers::At(Upper(of->b[i]));
    }
  }
  for (size_t i = 0; i < 16; ++i) {
    for (size_t k = 0; k < 16; ++k) {
      for (size_t j = 0; j < 8; ++j) sums[i][j] += a[i][k] * b[k][j];
    }
  }
  for (size_t lane = 0; lane < kWarpThreads; ++lane) {
    const auto* of = static_cast<const Product<float>*>(lanes[lane]);
    for (size_t i = 0; i < 4; ++i) of->sums[i] = sums[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
  }
}

int SumOfProducts(uint32_t a, uint32_t b) {
  int sum = 0;
  for (int at = 0; at < 32; at += 8) {
    sum += static_cast<int8_t>(a >> at) * static_cast<int8_t>(b >> at);
  }
  return sum;
}

// Words (of four numbers) of a, [16, 8], and of b, [8, 8].
void MultiplyWords(void* const* lanes) {
  uint32_t a[16][8];
  uint32_t b[8][8];
  for (size_t lane = 0; lane < kWarpThreads; ++lane) {
    const auto* of = static_cast<const Product<int>*>(lanes[lane]);
    for (size_t i = 0; i < 4; ++i) a[lane / 4 + i % 2 * 8][lane % 4 + i / 2 * 4] = of->a[i];
    for (size_t i = 0; i < 2; ++i) b[lane % 4 + i * 4][lane / 4] = of->b[i];
  }
  for (size_t lane = 0; lane < kWarpThreads; ++lane) {
    const auto* of = static_cast<const Product<int>*>(lanes[lane]);
    for (size_t i = 0; i < 4; ++i) {
      for (size_t k = 0; k < 8; ++k) {
        of->sums[i] += SumOfProducts(a[lane / 4 + i / 2 * 8][k], b[k][2 * (lane % 4) + i % 2]);
      }
    }
  }
}

template <bool kTransposed>
void LoadAll(void* const* lanes) {
  for (size_t m = 0; m < 4; ++m) {
    uint16_t matrix[8][8];
    for (size_t i = 0; i < 8; ++i) {
      std::memcpy(matrix[i], static_cast<const Load*>(lanes[8 * m + i])->row, sizeof(matrix[i]));
    }
    for (size_t lane = 0; lane < kWarpThreads; ++lane) {
      const size_t g = lane / 4;
      const size_t c = 2 * (lane % 4);
      const uint32_t lower = kTransposed ? matrix[c][g] : matrix[g][c];
      const uint32_t upper = kTransposed ? matrix[c + 1][g] : matrix[g][c + 1];
      static_cast<const Load*>(lanes[lane])->parts[m] = lower | upper << 16;
    }
  }
}

}  // namespace

void MultiplyHalves(float* sums, const uint32_t* a, const uint32_t* b, const char* file, int line) {
  Product<float> mine{sums, a, b};
  WarpTogether(Multiply<HalfNumbers>, &mine, file, line);
}

void MultiplyBf16(float* sums, const uint32_t* a, const uint32_t* b, const char* file, int line) {
  Product<float> mine{sums, a, b};
  WarpTogether(Multiply<Bf16Numbers>, &mine, file, line);
}

void MultiplyCodes(int* sums, const uint32_t* a, const uint32_t* b, const char* file, int line) {
  Product<int> mine{sums, a, b};
  WarpTogether(MultiplyWords, &mine, file, line);
}

void LoadMatrices(bool transposed, const void* row, uint32_t* parts, const char* file, int line) {
  CheckShared(row, 16, file, line);
  SeeRead(row, 16);
  Load mine{row, parts};
  WarpTogether(transposed ? LoadAll<true> : LoadAll<false>, &mine, file, line);
}

}  // namespace cairn::cuda_on_cpu
