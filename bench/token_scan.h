// TokenScan: the landmarks of a long past on a device, one for each block, as a decoded token scans
// them: a layer at a time, all of its KV heads at once.
#pragma once

#include <cstdint>

#include "base/device.h"
#include "base/error.h"
#include "bench/device_rig.h"
#include "bench/device_shape.h"
#include "kernels/cuda/fold.h"
#include "kernels/cuda/scan.h"

namespace cairn {

class TokenScan {
 public:
  /// `rig` must outlive it.
  TokenScan(DeviceRig& rig, const DeviceShape& shape) : rig_(rig), shape_(shape) {}
  /// Landmarks and codes are of `numbers`, over and over. kResource if they do not fit.
  Status Open(const PinnedBuffer& numbers);

  int64_t blocks() const { return shape_.tokens / shape_.block.block_rows; }
  uint64_t bytes() const { return landmarks_.bytes(); }
  uint64_t coded_bytes() const { return codes_.bytes() + scales_.bytes(); }
  /// [layers, KV heads, blocks, D] of 16 bits.
  const std::byte* landmarks() const { return landmarks_.data(); }
  /// Of the last scan, [KV heads, retrieve] of 4 bytes.
  const std::byte* chosen() const { return chosen_.data(); }

  /// Puts scores, log-sum-exps and choices of a layer on the rig's stream, of landmarks as they
  /// came (bf16) or as codes; if it `overlaps`, it begins before the launch before it has ended.
  Status Put(int32_t layer, bool coded, bool overlaps = false);
  /// The same of codes, by several launches one behind the other.
  Status PutApart(int32_t layer);

 private:
  // Of codes of a layer and KV head.
  int64_t chunks() const;
  int64_t head_codes() const;
  int64_t head_scales() const;
  ScoreCodesParams CodesOf(int32_t layer) const;
  ScanParams ScanOf(int32_t layer, bool coded) const;
  FoldParams Fold() const;

  DeviceRig& rig_;
  const DeviceShape shape_;
  DeviceBuffer landmarks_, codes_, scales_, queries_, rope_, positions_, missing_;
  DeviceBuffer scores_, scratch_, arrived_, lse_, chosen_, log_weights_;
};

}  // namespace cairn
