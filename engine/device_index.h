// DeviceIndex: a LandmarkIndex whose representatives lie on a device, as they are or, of the kind
// int8, as codes (device_codes.h). It scores all of them, so its choices and log-sum-exps are exact
// up to the rounding of representatives, and returns what was chosen to the host: one copy each way
// and one wait a search.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/device.h"
#include "engine/chunk_tails.h"
#include "engine/device_codes.h"
#include "index/landmark_index.h"
#include "kernels/cuda/fold.h"
#include "kernels/cuda/scan.h"
#include "kernels/cuda/score.h"

namespace cairn {

class DeviceIndex final : public LandmarkIndex {
 public:
  /// `device` must outlive it; `options` are valid, and every kind but kInt8 keeps vectors as they
  /// are. kUnsupported if a vector has more numbers than the kernels take.
  static Result<std::unique_ptr<LandmarkIndex>> Make(const IndexOptions& options, Device& device);

  /// What an index of these options takes once Reserve was called for so many blocks.
  static uint64_t MemoryBytes(const IndexOptions& options, int64_t blocks);

  Status Reserve(int64_t blocks) override;
  Status Add(int32_t first_partition, int32_t partition_count, int64_t count,
             const float* vectors) override;
  void Keep() override;
  void Truncate(int32_t first_partition, int32_t partition_count, int64_t size) override;
  int64_t size(int32_t partition) const override;
  Status Search(const SearchRequest& request, SearchResult* result) override;
  std::string_view name() const override { return codes_ == nullptr ? "device" : "device int8"; }
  uint64_t memory_bytes() const override;

  // For those who search on a stream of their own, without the host. They must be done with that
  // stream before Add or Truncate.

  int32_t representatives() const { return options_.representatives; }
  /// Changes whenever vectors are somewhere else from then on, have become codes or will be none
  /// any more, so that what was captured of Score is of no use.
  uint64_t version() const;
  /// What is put on `stream` from now on sees all that was added. The host does not wait.
  Status OrderAfterAdds(DeviceStream& stream);
  /// Launches on `stream`, of the device that the calling thread uses, the inner products of
  /// `rows` queries of each partition with the vectors of its blocks [begin, end): `scores` is [P,
  /// rows, (end − begin)·R] f32, rows score_stride apart (0: dense), `queries` [P, rows, D] f32,
  /// both in device memory. Queries are taken as they are; Search rounds them to bf16 first, to
  /// nearest even, unless vectors are f32. kUnsupported as Make; kIo with CUDA's words.
  Status Score(int32_t first_partition, int32_t partition_count, int64_t begin, int64_t end,
               const float* queries, int32_t rows, float* scores, int64_t score_stride,
               DeviceStream& stream);
  /// Floats that Scan works in for `params`, whatever partitions it is of, of which it sees to
  /// representatives, codes and plain vectors; nullopt where cuda::TakesScan says no.
  std::optional<size_t> ScanFloats(int64_t begin, int64_t end, const ScanParams& params) const;
  /// Launches cuda::ScanLandmarks for the partitions of `params` from `first_partition` on, whose
  /// far blocks are [begin, end). Otherwise as Score.
  Status Scan(int32_t first_partition, int64_t begin, int64_t end, const ScanParams& params,
              const cuda::DeviceRope& rope, float* scratch, int32_t* arrived, DeviceStream& stream);
  /// Floats that a search works in at once, if rows that choose together need no more: where there
  /// are more, partitions take turns, and then groups of rows.
  void LimitScores(size_t floats) { most_scores_ = floats; }

 private:
  /// What is searched at once: partitions of a request, or groups of rows of one.
  struct Piece {
    int32_t partition, partitions;  // of the request
    int32_t row, rows;              // of each
    int32_t group, groups;
  };
  /// Where parts of a search begin, in floats; what comes back lies together.
  struct Places {
    size_t other_lse, there;           // queries are first
    size_t log_weights, chosen, back;  // lse is first
    size_t weights, work;              // scores are first
    bool scans;
  };

  DeviceIndex(const IndexOptions& options, Device& device);
  /// Numbers of a block.
  int64_t block_numbers() const { return int64_t{options_.representatives} * padded_dim_; }
  size_t block_bytes() const {
    return static_cast<size_t>(block_numbers()) * DTypeBytes(options_.dtype);
  }
  /// Blocks that are codes; the first of those behind them lies where the chunk's first would.
  int64_t coded(int32_t partition) const {
    return codes_ == nullptr ? 0 : codes_->coded(partition);
  }
  std::byte* At(int32_t partition, int64_t block) const {
    if (codes_ != nullptr) block %= capacity_;
    return stored_.data() + static_cast<size_t>(partition * capacity_ + block) * block_bytes();
  }
  Status WaitAfter(const Status& put);
  Result<std::byte*> Staging(size_t bytes);
  Status MakeRoom(int64_t blocks);
  /// Blocks [begin, end) of the `count` that Add was given, which begin at `size`.
  Status Append(int32_t first_partition, int32_t partition_count, int64_t size, int64_t count,
                int64_t begin, int64_t end, const float* vectors);
  void TruncateCodes(int32_t first_partition, int32_t partition_count, int64_t size);
  /// Puts `blocks`, which end with block `size` of a partition, where those that are no codes lie.
  Status PutBack(int32_t partition, int64_t size, std::span<const std::byte> blocks);
  Status ScoreRange(int32_t first_partition, int32_t partition_count, int64_t begin, int64_t end,
                    const float* queries, int32_t rows, float* scores, int64_t score_stride,
                    CUstream_st* stream);
  void CheckRange(int32_t first_partition, int32_t partition_count, int64_t begin,
                  int64_t end) const;
  void Describe(int32_t first, int64_t begin, int64_t end, ScanParams* params) const;
  template <class Work>
  Status ForAlike(int32_t first_partition, int32_t partition_count, int64_t begin, int64_t end,
                  const ScanParams& params, const Work& work) const;
  std::optional<size_t> RoomOfScan(int32_t first_partition, int32_t partition_count, int64_t begin,
                                   int64_t end, const ScanParams& params) const;
  Status ScanRange(int32_t first_partition, int64_t begin, int64_t end, const ScanParams& params,
                   const cuda::DeviceRope* rope, float* scratch, int32_t* arrived,
                   CUstream_st* stream) const;
  ScanParams ScanOf(const Piece& piece, int32_t k) const;
  Places PlacesOf(const SearchRequest& request, const Piece& piece, int32_t k) const;
  Status SearchSome(const SearchRequest& request, const Piece& piece, SearchResult* result);
  void StageQueries(const float* queries, int64_t numbers);
  Status Launch(const SearchRequest& request, const Piece& piece, int32_t k, const Places& places);

  const IndexOptions options_;
  const int32_t padded_dim_;
  Device& device_;
  size_t most_scores_ = size_t{64} << 20;
  mutable std::mutex mutex_;
  std::vector<int64_t> sizes_;          // of partitions
  std::unique_ptr<DeviceCodes> codes_;  // or null
  std::unique_ptr<ChunkTails> tails_;   // with codes
  int64_t capacity_ = 0;                // blocks of each; with codes, of a chunk
  uint64_t version_ = 0;
  DeviceBuffer stored_;        // [partitions, capacity, R, padded_dim]
  PinnedBuffer staged_;        // what is added
  size_t staged_bytes_ = 0;    // of it, that may be on their way
  PinnedBuffer there_, back_;  // of a search
  DeviceBuffer there_on_device_, back_on_device_, work_;
  DeviceBuffer arrived_;  // of scans of a search
  DeviceEvent added_;
  DeviceStream stream_;  // goes first, and waits for what uses the rest
};

}  // namespace cairn
