#include "engine/device_local_rows.h"

#include <cstring>

#include "base/check.h"

namespace cairn {
namespace {

constexpr size_t kAlignment = 16;

}  // namespace

Result<DeviceLocalRows> DeviceLocalRows::Open(const SessionShape& shape, const LocalRows& local,
                                              Device& device) {
  DeviceLocalRows rows;
  rows.layers_ = shape.layers;
  rows.heads_ = shape.kv_heads;
  rows.blocks_ = local.capacity_blocks();
  rows.payload_bytes_ = shape.block.open().payload_bytes();
  rows.bytes_ = (rows.payload_bytes_ + kAlignment - 1) / kAlignment * kAlignment;
  const size_t bytes = static_cast<size_t>(shape.partitions()) * rows.blocks_ * rows.bytes_;
  CAIRN_TRY(rows.data_, device.Allocate(bytes));
  CAIRN_TRY(rows.staged_, device.AllocatePinned(bytes));
  return rows;
}

cuda::LocalBlocks DeviceLocalRows::layer(int32_t layer) const {
  const size_t head_bytes = static_cast<size_t>(blocks_) * bytes_;
  return {heads_, data_.data() + static_cast<size_t>(layer * heads_) * head_bytes,
          static_cast<int64_t>(head_bytes), static_cast<int64_t>(bytes_)};
}

Status DeviceLocalRows::Upload(const LocalRows& local, DeviceStream& stream) {
  std::byte* staged = staged_.data();
  for (int32_t layer = 0; layer < layers_; ++layer) {
    for (int32_t head = 0; head < heads_; ++head, staged += bytes_) {
      std::memcpy(staged, local.block(layer, head, 0), payload_bytes_);
    }
  }
  return stream.CopyPiecesToDevice(data_.data(), staged_.data(),
                                   {bytes_, static_cast<size_t>(layers_ * heads_),
                                    static_cast<size_t>(blocks_) * bytes_, bytes_});
}

Status DeviceLocalRows::Download(int32_t blocks, DeviceStream& stream, LocalRows* local) {
  CAIRN_CHECK(blocks >= 1 && blocks <= blocks_);
  const size_t piece = static_cast<size_t>(blocks) * bytes_;
  CAIRN_TRY(stream.CopyPiecesToHost(staged_.data(), data_.data(),
                                    {piece, static_cast<size_t>(layers_ * heads_), piece,
                                     static_cast<size_t>(blocks_) * bytes_}));
  CAIRN_TRY(stream.Wait());
  const std::byte* staged = staged_.data();
  for (int32_t layer = 0; layer < layers_; ++layer) {
    for (int32_t head = 0; head < heads_; ++head) {
      for (int32_t i = 0; i < blocks; ++i, staged += bytes_) {
        std::memcpy(local->block(layer, head, i), staged, payload_bytes_);
      }
    }
  }
  return Ok();
}

}  // namespace cairn
