// What DecodeBench is told, and what that takes of the host's and the device's memory.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "bench/device_shape.h"
#include "bench/random_past.h"
#include "engine/options.h"
#include "index/landmark_index.h"

namespace cairn {

/// Bytes on the device besides weights, as they follow from sizes: what a model works in, and CUDA
/// and cuBLASLt for themselves, are not in it.
struct DeviceReckoning {
  uint64_t index = 0;   ///< landmarks
  uint64_t blocks = 0;  ///< the compute tier
  uint64_t table = 0;   ///< where blocks are
  uint64_t scores = 0;  ///< of the last token's landmarks, and rows that are in no block

  uint64_t all() const { return index + blocks + table + scores; }
};

struct DecodeBenchOptions : DeviceShape {
  DecodeBenchOptions() { block.dtype = DType::kQ8; }

  int32_t device = 0;
  int32_t hidden = 4096;
  int32_t ffn = 14336;
  int32_t vocab = 128256;
  int32_t context = 8192;  ///< rows the model would have been trained on
  AttentionMode mode = AttentionMode::kUnmodified;
  int32_t recent_tokens = 512;         ///< always attended (unmodified mode)
  IndexKind index = IndexKind::kAuto;  ///< kAuto or kInt8

  int32_t chunk = 1024;       ///< the most rows of a step that reads
  int32_t query_stride = 16;  ///< rows of such a step of which one has a say in its choice
  double read_seconds = 0;    ///< after which no more is read; 0: no limit
  int32_t warm_up = 32;       ///< tokens decoded before any is timed
  int32_t decode = 256;       ///< tokens timed
  /// Share of the row before in each row that is decoded, from 0 to below 1; the rest is new, and
  /// the sum as long as either.
  float repeat = 0.995f;

  /// Above 0 nothing is read: the past is a RandomPast with so many payloads for each layer and KV
  /// head, which its blocks share.
  int32_t aliased = 0;

  uint64_t compute_bytes = 0;  ///< of the compute tier; 0: ComputeBytes
  uint64_t host_bytes = 0;     ///< of the host tier; 0: HostBytes
  uint64_t device_limit = 0;   ///< see DeviceLimit
  uint64_t host_limit = 0;     ///< what may be needed of the host's memory; 0: what is available

  /// kInvalidArgument naming what cannot be, kResource if the host tier is too small.
  Status Validate() const;
  /// kResource with what is needed if that is more than host_limit, or else than the host has.
  Status CheckHost() const;
  /// kResource with what takes how much if that is more than DeviceLimit.
  Status CheckDevice() const;
  SessionShape Shape() const;
  /// Of sessions while they read.
  SessionOptions Reading() const;
  /// Rows that stand for so many tokens: in landmark mode a row closes each block.
  int64_t RowsOf(int64_t tokens) const;
  /// Complete blocks of each layer and KV head: of the past, and of all that there will be.
  int64_t PastBlocks() const;
  int64_t AllBlocks() const;
  /// Payloads of each layer and KV head in the past.
  int64_t DistinctBlocks() const;
  /// The past, if it is aliased.
  RandomPast Past() const;
  /// The least that the host tier works with: every block there will be, or, if these are aliased,
  /// what one fetch asks for.
  uint64_t LeastHostBytes() const;
  /// What it has by default: the least, and if blocks are aliased up to 4 GiB of them.
  uint64_t HostBytes() const;
  /// A 25th of the blocks, of an aliased past up to 4 GiB, but all that two tokens may choose.
  uint64_t ComputeBytes() const;
  /// What may be needed on the device besides weights: device_limit, or by default 16 GB if the
  /// past is aliased; else there is no limit, which is 0.
  uint64_t DeviceLimit() const;
  DeviceReckoning Reckon() const;

 private:
  uint64_t BytesOfBlocks(int64_t blocks_per_head) const;
};

}  // namespace cairn
