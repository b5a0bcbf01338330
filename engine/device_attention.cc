#include "engine/device_attention.h"

#include <algorithm>
#include <cstring>

#include "engine/device_buffers.h"

namespace cairn {
namespace {

constexpr size_t kAlignment = 256;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
T* At(const DeviceBuffer& buffer, size_t place) {
  return reinterpret_cast<T*>(buffer.data() + place);
}

}  // namespace

Result<std::unique_ptr<DeviceAttention>> DeviceAttention::Open(const SessionShape& shape,
                                                               const RopeTable& rope,
                                                               TieredStore& store) {
  Device& device = *store.device();
  CAIRN_TRY(auto stream, device.MakeStream());
  CAIRN_TRY(auto attend, DeviceAttend::Open(shape, rope, device, stream));
  return std::unique_ptr<DeviceAttention>(
      new DeviceAttention(shape, store, std::move(stream), std::move(attend)));
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

Status DeviceAttention::Attend(const DeviceRead& read) {
  const Places places = PlacesOf(read);
  DeviceAttendCall call = {.block = shape_.block,
                           .q_row_stride = int64_t{shape_.query_heads} * shape_.block.head_dim,
                           .rows = read.rows,
                           .groups = read.groups,
                           .per_list = read.per_list};
  CAIRN_TRY(device_.Use());
  CAIRN_TRY(MakeRoom(places, attend_.ScratchFloats(call)));
  Stage(read, places);
  call.q = At<float>(there_on_device_, 0);
  call.positions = At<int32_t>(there_on_device_, places.positions);
  call.blocks = At<cuda::PlacedBlock>(there_on_device_, places.blocks);
  call.counts = At<int32_t>(there_on_device_, places.counts);
  call.o = At<float>(back_on_device_, 0);
  call.lse = At<float>(back_on_device_, places.lse);
  const auto put = [&]() -> Status {
    CAIRN_TRY(stream_.CopyToDevice(there_on_device_.data(), there_.data(), places.bytes));
    CAIRN_TRY(store_.OrderAfterCopies(stream_));
    CAIRN_TRY(attend_.Launch(call, At<float>(scratch_, 0), stream_));
    return stream_.CopyToHost(back_.data(), back_on_device_.data(), places.back_bytes);
  };
  CAIRN_TRY(stream_.WaitAfter(put()));
  const size_t lse_floats = static_cast<size_t>(read.rows) * shape_.query_heads;
  std::memcpy(read.o, back_.data(), lse_floats * shape_.block.head_dim * sizeof(float));
  std::memcpy(read.lse, back_.data() + places.lse, lse_floats * sizeof(float));
  return Ok();
}

}  // namespace cairn
