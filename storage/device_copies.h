// DeviceCopies: blocks on their way from pinned slots of the host tier to a device's. A copy is
// started and the caller goes on; what it reads from is held until it has passed, and whoever reads
// what it wrote orders a stream after it. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/device.h"
#include "base/error.h"

namespace cairn {

class DeviceCopies {
 public:
  /// `device` must outlive it.
  static Result<std::unique_ptr<DeviceCopies>> Open(Device& device);

  /// Starts one batch: `bytes` from each source to the target of its place. `held` are the slots
  /// that it reads from.
  Status Start(std::span<std::byte* const> targets, std::span<const std::byte* const> sources,
               size_t bytes, std::vector<uint32_t> held);

  /// The slots held for copies that have passed since the last call.
  Result<std::vector<uint32_t>> Passed();
  /// The host waits for all copies; as Passed.
  Result<std::vector<uint32_t>> Finish();

  /// What is put on `stream` from now on sees every block whose copy was started.
  Status OrderAfter(DeviceStream& stream);

 private:
  struct Copy {
    DeviceEvent passed;
    std::vector<uint32_t> held;
  };

  explicit DeviceCopies(Device& device) : device_(device) {}
  /// Takes the first copy, which has passed.
  void Take(std::vector<uint32_t>* slots);

  Device& device_;
  std::mutex mutex_;
  DeviceEvent last_;  // behind the last copy
  std::deque<Copy> copies_;
  std::vector<DeviceEvent> unused_;
  DeviceStream stream_;  // goes first, and waits for what the events are of
};

}  // namespace cairn
