// Products of small matrices by a warp, and loading what they take, as PTX describes
// mma.sync.aligned.m16n8k16.row.col with sums of f32, m16n8k32 of .s8, and
// ldmatrix.sync.aligned.m8n8.x4: all 32 lanes meet, and each gives and gets the numbers that PTX
// gives to its place.
//
// With g = lane / 4 and c = 2 · (lane % 4), a lane holds pairs of numbers of rows and columns
//   a    [16, 16]  (g, c) (g + 8, c) (g, c + 8) (g + 8, c + 8)
//   b    [16, 8]   column g, rows c and c + 1; rows c + 8 and c + 9
//   sums [16, 8]   (g, c) (g, c + 1) (g + 8, c) (g + 8, c + 1)
// the first number of a pair in its lower half. Products are exact, and are added one after another
// in f32; a device adds several at once and rounds otherwise.
#pragma once

#include <cstdint>

namespace cairn::cuda_on_cpu {

/// sums += a · b.
void MultiplyHalves(float* sums, const uint32_t* a, const uint32_t* b,
                    const char* file = __builtin_FILE(), int line = __builtin_LINE());
void MultiplyBf16(float* sums, const uint32_t* a, const uint32_t* b,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE());

/// The same of whole numbers of 8 bits, four of them where there were pairs: a word's are those of
/// columns (rows of b) 4 · (lane % 4) to + 3, and of those 16 further where there were 8.
void MultiplyCodes(int* sums, const uint32_t* a, const uint32_t* b,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE());

/// Four matrices of 8 rows of 8 numbers in shared memory, row i of matrix m beginning at the `row`
/// of lane 8m + i. parts[m] is of matrix m the pair (g, c) (g, c + 1); transposed, (c, g) and
/// (c + 1, g).
void LoadMatrices(bool transposed, const void* row, uint32_t* parts,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace cairn::cuda_on_cpu
