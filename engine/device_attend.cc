#include "engine/device_attend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cairn {
namespace {

constexpr int32_t kTileRows = 16;  // from so many rows on they share what they read

}  // namespace

Result<DeviceAttend> DeviceAttend::Open(const SessionShape& shape, const RopeTable& rope,
                                        Device& device, DeviceStream& stream) {
  DeviceAttend made(shape, device);
  const size_t bytes = static_cast<size_t>(rope.positions()) * rope.head_dim() * sizeof(float);
  CAIRN_TRY(made.table_, device.Allocate(bytes));
  CAIRN_TRY(const PinnedBuffer table, device.AllocatePinned(bytes));
  std::memcpy(table.data(), rope.at(0), bytes);
  CAIRN_TRY(stream.CopyToDevice(made.table_.data(), table.data(), bytes));
  CAIRN_TRY(stream.Wait());
  made.positions_ = rope.positions();
  return made;
}

cuda::DeviceRope DeviceAttend::rope() const {
  return {reinterpret_cast<const float*>(table_.data()), positions_, shape_->rope_style};
}

float DeviceAttend::scale() const {
  return shape_->scale > 0 ? shape_->scale
                           : 1.0f / std::sqrt(static_cast<float>(shape_->block.head_dim));
}

cuda::AttendParams DeviceAttend::ParamsOf(const DeviceAttendCall& call) const {
  cuda::AttendParams params;
  params.shape = call.block;
  params.mode =
      shape_->mode == AttentionMode::kLandmark ? SoftmaxMode::kGrouped : SoftmaxMode::kPlain;
  params.scale = scale();
  params.bf16 = true;  // as on the CPU
  params.rope = rope();
  params.heads = shape_->kv_heads;
  params.rows = call.rows / call.groups;
  params.group = shape_->group();
  params.q_row_stride = call.q_row_stride;
  params.block_stride = call.per_list;
  params.o_row_stride = int64_t{shape_->query_heads} * shape_->block.head_dim;
  return params;
}

bool DeviceAttend::TakesTiles(const DeviceAttendCall& call) const {
  return call.rows / call.groups >= kTileRows && cuda::FitsPrefill(call.block);
}

int32_t DeviceAttend::Splits(const DeviceAttendCall& call) const {
  constexpr int32_t kEach = 2;  // blocks of threads that a multiprocessor holds at once
  const int32_t wanted = kEach * device_->multiprocessors();
  return std::clamp(wanted / (call.rows / call.groups * shape_->kv_heads), 1, call.per_list);
}

size_t DeviceAttend::ScratchFloats(const DeviceAttendCall& call) const {
  return TakesTiles(call) ? 0 : cuda::DecodeScratchFloats(ParamsOf(call), Splits(call));
}

Status DeviceAttend::Launch(const DeviceAttendCall& call, float* scratch,
                            DeviceStream& stream) const {
  cuda::AttendParams params = ParamsOf(call);
  const bool tiles = TakesTiles(call);
  cuda::DecodeShare share = {.splits = Splits(call), .scratch = scratch, .arrived = call.arrived};
  for (int64_t group = 0; group < call.groups; ++group) {
    params.q = call.q + group * params.q_row_stride;
    params.q_positions = call.positions + group;
    params.block_counts = call.counts + group * shape_->kv_heads;
    params.blocks = call.blocks + group * shape_->kv_heads * call.per_list;
    params.o = call.o + group * params.o_row_stride;
    params.lse = call.lse + group * shape_->query_heads;
    if (call.other_o != nullptr) {
      share.other_o = call.other_o + group * params.o_row_stride;
      share.other_lse = call.other_lse + group * shape_->query_heads;
    }
    CAIRN_TRY(tiles ? cuda::AttendPrefill(params, stream.get())
                    : cuda::AttendDecode(params, share, stream.get()));
  }
  return Ok();
}

Status DeviceAttend::Merge(const DeviceAttendCall& call, float* o, float* lse,
                           DeviceStream& stream) const {
  cuda::AttendParams params = ParamsOf(call);
  params.rows = call.rows;
  params.o = call.o;
  params.lse = call.lse;
  return cuda::MergeParts(params, o, lse, stream.get());
}

}  // namespace cairn
