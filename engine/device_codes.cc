#include "engine/device_codes.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/score.h"

namespace cairn {
namespace {

constexpr int64_t kShareGrown = 4, kShareOfManyGrown = 16;
constexpr int64_t kManyGrown = 16;  // chunks

}  // namespace

DeviceCodes::DeviceCodes(const IndexOptions& options, Device& device)
    : options_(options),
      device_(device),
      chunk_blocks_(ChunkBlocks(options)),
      coded_(static_cast<size_t>(options.partitions)) {}

int64_t DeviceCodes::ChunkBlocks(const IndexOptions& options) {
  return std::max(1, cuda::kMostChunkVectors / options.representatives);
}

uint64_t DeviceCodes::MemoryBytes(const IndexOptions& options, int64_t blocks) {
  const int64_t chunk_blocks = ChunkBlocks(options);
  const int64_t numbers = chunk_blocks * options.representatives + 2 * int64_t{sizeof(float)};
  return static_cast<uint64_t>(options.partitions * (blocks / chunk_blocks) * numbers *
                               CodedDim(options.dim));
}

Result<bool> DeviceCodes::Reserve(int64_t blocks, DeviceStream& stream) {
  const int64_t chunks = blocks / chunk_blocks_;
  if (chunks <= capacity_) return false;
  const int64_t more =
      std::min(capacity_ / kShareGrown, std::max(kManyGrown, capacity_ / kShareOfManyGrown));
  const int64_t capacity = std::max(chunks, capacity_ + more);
  const auto partitions = static_cast<size_t>(options_.partitions);
  const size_t code_bytes = static_cast<size_t>(chunk_codes());
  const size_t scale_bytes = static_cast<size_t>(chunk_scales()) * sizeof(float);
  const auto held = static_cast<size_t>(capacity_), each = static_cast<size_t>(capacity);
  CAIRN_TRY(auto codes, device_.Allocate(partitions * each * code_bytes));
  CAIRN_TRY(auto scales, device_.Allocate(partitions * each * scale_bytes));
  if (capacity_ > 0) {
    Status copied = stream.CopyPiecesOnDevice(
        codes.data(), codes_.data(),
        {held * code_bytes, partitions, each * code_bytes, held * code_bytes});
    if (copied) {
      copied = stream.CopyPiecesOnDevice(
          scales.data(), scales_.data(),
          {held * scale_bytes, partitions, each * scale_bytes, held * scale_bytes});
    }
    CAIRN_TRY(stream.Wait());  // before any of the four can go
    CAIRN_TRY(copied);
  }
  codes_ = std::move(codes);
  scales_ = std::move(scales);
  capacity_ = capacity;
  return true;
}

int32_t DeviceCodes::Alike(int32_t first, int32_t count) const {
  const auto begin = coded_.begin() + first;
  const auto other = std::find_if(begin, begin + count, [&](int64_t n) { return n != *begin; });
  return static_cast<int32_t>(other - begin);
}

Status DeviceCodes::Code(int32_t first, int32_t count, int64_t end, const std::byte* plain,
                         int64_t plain_stride, DeviceStream& stream) {
  const int64_t begin = end - chunk_blocks_;
  CAIRN_CHECK(begin % chunk_blocks_ == 0 && end <= capacity_ * chunk_blocks_);
  const auto stride = static_cast<size_t>(plain_stride) * DTypeBytes(options_.dtype);
  for (int32_t done = 0; done < count;) {
    const int32_t alike = Alike(first + done, count - done);
    const int64_t kept = std::max<int64_t>(0, coded(first + done) - begin);
    CAIRN_TRY(cuda::CodeChunk({.partitions = alike,
                               .vectors = chunk_vectors(),
                               .dim = options_.dim,
                               .padded_dim = cuda::PaddedDim(options_.dim),
                               .kept = static_cast<int32_t>(kept) * options_.representatives,
                               .dtype = options_.dtype,
                               .plain = plain + static_cast<size_t>(done) * stride,
                               .plain_stride = plain_stride,
                               .codes = CodesAt(first + done, begin / chunk_blocks_),
                               .code_stride = capacity_ * chunk_codes(),
                               .scales = ScalesAt(first + done, begin / chunk_blocks_),
                               .scale_stride = capacity_ * chunk_scales()},
                              stream.get()));
    std::fill_n(coded_.begin() + first + done, alike, end);
    done += alike;
  }
  return Ok();
}

bool DeviceCodes::Truncate(int32_t first, int32_t count, int64_t size) {
  bool fewer = false;
  for (int32_t p = first; p < first + count; ++p) {
    int64_t& coded = coded_[static_cast<size_t>(p)];
    fewer = fewer || size < coded;
    coded = std::min(coded, size);
  }
  return fewer;
}

ScoreCodesParams DeviceCodes::ParamsOf(int32_t first, int32_t count, int64_t begin,
                                       int64_t end) const {
  return {.partitions = count,
          .dim = options_.dim,
          .chunk_vectors = chunk_vectors(),
          .first = begin * options_.representatives,
          .vectors = (end - begin) * options_.representatives,
          .dtype = options_.dtype,
          .codes = CodesAt(first, 0),
          .code_stride = capacity_ * chunk_codes(),
          .scales = ScalesAt(first, 0),
          .scale_stride = capacity_ * chunk_scales()};
}

}  // namespace cairn
