#include "tools/device_shape_flags.h"

#include "tools/run_options.h"

namespace cairn {

void DeviceShapeFlags::Add(CLI::App& app, DeviceShape& shape) {
  shape_ = &shape;
  kv_type_ = DTypeName(shape.block.dtype);
  app.add_option("--device", device_, "Which, as for --device elsewhere")
      ->type_name("NAME")
      ->capture_default_str();
  AddNumber(app, "--layers", shape.layers, "Layers of the model");
  AddNumber(app, "--kv-heads", shape.kv_heads, "KV heads of a layer");
  AddNumber(app, "--group", shape.group, "Query heads of a KV head");
  AddNumber(app, "--head-dim", shape.block.head_dim, "Numbers of a head, a multiple of 8");
  AddNumber(app, "--block-rows", shape.block.block_rows, "Rows of a block");
  app.add_option("--kv-type", kv_type_, "Stored keys and values, as for --kv-type elsewhere")
      ->type_name("TYPE")
      ->capture_default_str();
  AddNumber(app, "--tokens", shape.tokens, "Tokens of the past that is searched");
  AddNumber(app, "--retrieve", shape.retrieve, "Blocks chosen per KV head");
}

Status DeviceShapeFlags::Read() {
  CAIRN_TRY(shape_->block.dtype, ParseKvType(kv_type_));
  return Ok();
}

Result<int32_t> DeviceShapeFlags::Number() const {
  CAIRN_TRY(const auto number, ParseDevice(device_));
  if (number.has_value()) return *number;
  return Fail(Errc::kInvalidArgument, "--device {}: this measures a GPU; use cuda:N", device_);
}

nlohmann::json ShapeJson(const Device& device, const DeviceShape& shape) {
  return {{"device", device.Name()},
          {"model", device.model()},
          {"multiprocessors", device.multiprocessors()},
          {"layers", shape.layers},
          {"kv_heads", shape.kv_heads},
          {"group", shape.group},
          {"head_dim", shape.block.head_dim},
          {"block_rows", shape.block.block_rows},
          {"kv_type", DTypeName(shape.block.dtype)},
          {"tokens", shape.tokens},
          {"retrieve", shape.retrieve}};
}

}  // namespace cairn
