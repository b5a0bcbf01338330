// Reading stored numbers: some at once, by one load, and as floats.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

template <int kBytes>
struct WordOf;
template <>
struct WordOf<2> {
  using Type = uint16_t;
};
template <>
struct WordOf<4> {
  using Type = uint32_t;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};

/// kCount numbers of a type, read by one load that must be aligned to its size. Of codes, the
/// codes: scales are the reader's business.
template <Element kElement, int kCount>
struct Chunk {
  static constexpr int kNumbers = kCount;
  static constexpr int kBytes = kCount * static_cast<int>(ElementBytes(kElement));
  using Word = typename WordOf<kBytes>::Type;

  /// Chunk `index` of the row that begins at `row`, in global memory that nothing changes now. The
  /// compiler cannot know that an address which was read itself is none of shared memory.
  __device__ static Word Load(const std::byte* row, int index) {
    return __ldg(reinterpret_cast<const Word*>(row) + index);
  }

  __device__ static void Unpack(const Word& word, float* numbers) {
    alignas(16) uint32_t parts[kBytes < 4 ? 1 : kBytes / 4];
    if constexpr (kBytes == 2) {
      parts[0] = word;
    } else if constexpr (kBytes == 4) {
      parts[0] = word;
    } else {
      parts[0] = word.x;
      parts[1] = word.y;
      if constexpr (kBytes == 16) {
        parts[2] = word.z;
        parts[3] = word.w;
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if constexpr (kElement == Element::kF32) {
        numbers[i] = __uint_as_float(parts[i]);
      } else if constexpr (kElement == Element::kQ8) {
        numbers[i] = static_cast<float>(static_cast<int8_t>(parts[i / 4] >> (i % 4 * 8)));
      } else {
        const auto bits = static_cast<uint16_t>(parts[i / 2] >> (i % 2 * 16));
        numbers[i] = kElement == Element::kF16 ? HalfToFloat(bits) : Bf16ToFloat(bits);
      }
    }
  }
};

/// kCount floats of any memory; by fours, from an address aligned to 16 bytes, where they come so.
template <int kCount>
__device__ __forceinline__ void CopyFloats(const float* from, float* to) {
  if constexpr (kCount % 4 == 0) {
#pragma unroll
    for (int i = 0; i < kCount / 4; ++i) {
      Chunk<Element::kF32, 4>::Unpack(reinterpret_cast<const uint4*>(from)[i], to + 4 * i);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = from[i];
  }
}

/// Number `column` of a row, of codes without its scale.
__device__ __forceinline__ float ReadNumber(Element element, const std::byte* row, int column) {
  switch (element) {
    case Element::kF32:
      return reinterpret_cast<const float*>(row)[column];
    case Element::kF16:
      return HalfToFloat(reinterpret_cast<const uint16_t*>(row)[column]);
    case Element::kBF16:
      return Bf16ToFloat(reinterpret_cast<const uint16_t*>(row)[column]);
    case Element::kQ8:
      break;
  }
  return static_cast<float>(reinterpret_cast<const int8_t*>(row)[column]);
}

/// Rounds to nearest even; not for codes.
__device__ __forceinline__ void WriteNumber(Element element, float value, std::byte* row,
                                            int column) {
  if (element == Element::kF32) {
    reinterpret_cast<float*>(row)[column] = value;
  } else {
    reinterpret_cast<uint16_t*>(row)[column] =
        element == Element::kF16 ? FloatToHalf(value) : FloatToBf16(value);
  }
}

__device__ __forceinline__ const std::byte* KeyRow(const Layout& layout, const std::byte* payload,
                                                   int row) {
  return payload + row * layout.row_bytes;
}
__device__ __forceinline__ const std::byte* ValueRow(const Layout& layout, const std::byte* payload,
                                                     int row) {
  return payload + layout.values_at + row * layout.row_bytes;
}

/// Scales of K's channels; V's are D further.
__device__ __forceinline__ const float* Scales(const Layout& layout, const std::byte* payload) {
  return reinterpret_cast<const float*>(payload + layout.scales_at);
}

}  // namespace cairn::cuda
