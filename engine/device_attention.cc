#include "engine/device_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/device_buffers.h"
#include "kernels/cuda/attention.h"

namespace cairn {
namespace {

constexpr int32_t kTileRows = 16;  // from so many rows on they share what they read
constexpr size_t kAlignment = 256;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
T* At(const DeviceBuffer& buffer, size_t place) {
  return reinterpret_cast<T*>(buffer.data() + place);
}

cuda::AttendParams ParamsOf(const SessionShape& shape) {
  cuda::AttendParams params;
  params.shape = shape.block;
  params.mode =
      shape.mode == AttentionMode::kLandmark ? SoftmaxMode::kGrouped : SoftmaxMode::kPlain;
  params.scale =
      shape.scale > 0 ? shape.scale : 1.0f / std::sqrt(static_cast<float>(shape.block.head_dim));
  params.heads = shape.kv_heads;
  params.group = shape.group();
  params.q_row_stride = int64_t{shape.query_heads} * shape.block.head_dim;
  params.o_row_stride = params.q_row_stride;
  return params;
}

}  // namespace

Result<std::unique_ptr<DeviceAttention>> DeviceAttention::Open(const SessionShape& shape,
                                                               const RopeTable& rope,
                                                               TieredStore& store) {
  std::unique_ptr<DeviceAttention> made(new DeviceAttention(shape, store));
  Device& device = made->device_;
  CAIRN_TRY(made->stream_, device.MakeStream());
  const size_t bytes = static_cast<size_t>(rope.positions()) * rope.head_dim() * sizeof(float);
  CAIRN_TRY(made->rope_, device.Allocate(bytes));
  CAIRN_TRY(const PinnedBuffer table, device.AllocatePinned(bytes));
  std::memcpy(table.data(), rope.at(0), bytes);
  CAIRN_TRY(made->stream_.CopyToDevice(made->rope_.data(), table.data(), bytes));
  CAIRN_TRY(made->stream_.Wait());
  made->rope_positions_ = rope.positions();
  return made;
}

DeviceAttention::Places DeviceAttention::PlacesOf(const DeviceRead& read) const {
  const auto rows = static_cast<size_t>(read.rows);
  const size_t o_bytes = Aligned(rows * shape_.query_heads * shape_.block.head_dim * sizeof(float));
  Places places{};
  places.positions = o_bytes;  // as many as of q
  places.blocks = places.positions + Aligned(rows * sizeof(int32_t));
  places.counts = places.blocks + Aligned(read.lists.size() * sizeof(cuda::PlacedBlock));
  places.bytes =
      places.counts + Aligned(static_cast<size_t>(read.groups) * shape_.kv_heads * sizeof(int32_t));
  places.lse = o_bytes;
  places.back_bytes = o_bytes + rows * shape_.query_heads * sizeof(float);
  return places;
}

Status DeviceAttention::MakeRoom(const Places& places, size_t scratch_floats) {
  CAIRN_TRY(Grow(&there_, places.bytes, device_));
  CAIRN_TRY(Grow(&there_on_device_, places.bytes, device_));
  CAIRN_TRY(Grow(&back_, places.back_bytes, device_));
  CAIRN_TRY(Grow(&back_on_device_, places.back_bytes, device_));
  return Grow(&scratch_, scratch_floats * sizeof(float), device_);
}

void DeviceAttention::Stage(const DeviceRead& read, const Places& places) {
  std::byte* const there = there_.data();
  const size_t floats = static_cast<size_t>(read.rows) * shape_.query_heads * shape_.block.head_dim;
  std::memcpy(there, read.q, floats * sizeof(float));
  std::memcpy(there + places.positions, read.positions, read.rows * sizeof(int32_t));
  auto* blocks = reinterpret_cast<cuda::PlacedBlock*>(there + places.blocks);
  for (const BlockRef& ref : read.lists) *blocks++ = {ref.payload, ref.position, ref.rows};
  std::fill_n(reinterpret_cast<int32_t*>(there + places.counts), read.groups * shape_.kv_heads,
              read.per_list);
}

int32_t DeviceAttention::Splits(int32_t rows, int32_t per_list) const {
  constexpr int32_t kEach = 2;  // blocks of threads that a multiprocessor holds at once
  const int32_t wanted = kEach * device_.multiprocessors();
  return std::clamp(wanted / (rows * shape_.kv_heads), 1, per_list);
}

Status DeviceAttention::Launch(const DeviceRead& read, const Places& places, int32_t splits) {
  cuda::AttendParams params = ParamsOf(shape_);
  params.rope = {At<float>(rope_, 0), rope_positions_, shape_.rope_style};
  params.rows = read.rows / read.groups;
  params.block_stride = read.per_list;
  const bool tiles = params.rows >= kTileRows && cuda::FitsPrefill(shape_.block);
  for (int32_t group = 0; group < read.groups; ++group) {
    params.q = At<float>(there_on_device_, 0) + group * params.q_row_stride;
    params.q_positions = At<int32_t>(there_on_device_, places.positions) + group;
    params.block_counts =
        At<int32_t>(there_on_device_, places.counts) + int64_t{group} * shape_.kv_heads;
    params.blocks = At<cuda::PlacedBlock>(there_on_device_, places.blocks) +
                    int64_t{group} * shape_.kv_heads * read.per_list;
    params.o = At<float>(back_on_device_, 0) + group * params.o_row_stride;
    params.lse = At<float>(back_on_device_, places.lse) + int64_t{group} * shape_.query_heads;
    if (tiles) {
      CAIRN_TRY(cuda::AttendPrefill(params, stream_.get()));
    } else {
      CAIRN_TRY(cuda::AttendDecode(params, splits, At<float>(scratch_, 0), stream_.get()));
    }
  }
  return Ok();
}

Status DeviceAttention::Attend(const DeviceRead& read) {
  const Places places = PlacesOf(read);
  const int32_t rows = read.rows / read.groups;
  const int32_t splits = Splits(rows, read.per_list);
  cuda::AttendParams params = ParamsOf(shape_);
  params.rows = rows;
  CAIRN_TRY(device_.Use());
  CAIRN_TRY(MakeRoom(places, cuda::DecodeScratchFloats(params, splits)));
  Stage(read, places);
  CAIRN_TRY(stream_.CopyToDevice(there_on_device_.data(), there_.data(), places.bytes));
  CAIRN_TRY(store_.OrderAfterCopies(stream_));
  CAIRN_TRY(Launch(read, places, splits));
  CAIRN_TRY(stream_.CopyToHost(back_.data(), back_on_device_.data(), places.back_bytes));
  CAIRN_TRY(stream_.Wait());
  const size_t lse_floats = static_cast<size_t>(read.rows) * shape_.query_heads;
  std::memcpy(read.o, back_.data(), lse_floats * shape_.block.head_dim * sizeof(float));
  std::memcpy(read.lse, back_.data() + places.lse, lse_floats * sizeof(float));
  return Ok();
}

}  // namespace cairn
