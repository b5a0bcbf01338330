// DeviceShapeFlags: a DeviceShape and a device on the command line, and in JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/device.h"
#include "base/error.h"
#include "bench/device_shape.h"

namespace cairn {

/// Adds `--name N` for a number, with its default.
template <class T>
void AddNumber(CLI::App& app, const char* name, T& value, const char* what) {
  app.add_option(name, value, what)->type_name("N")->capture_default_str();
}

class DeviceShapeFlags {
 public:
  /// --device, and those of `shape`, which must outlive it.
  void Add(CLI::App& app, DeviceShape& shape);
  /// What was said of --kv-type, to the shape.
  Status Read();
  /// The number of the device; kInvalidArgument if that is none.
  Result<int32_t> Number() const;

 private:
  DeviceShape* shape_ = nullptr;
  std::string device_ = "cuda:0";
  std::string kv_type_;
};

/// Device and shape, as every report has them.
nlohmann::json ShapeJson(const Device& device, const DeviceShape& shape);

}  // namespace cairn
