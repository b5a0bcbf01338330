// Devices of a build without CUDA: there are none.
#include "base/check.h"
#include "base/device.h"

namespace cairn {
namespace {

Error NoCuda() {
  return Fail(Errc::kUnsupported,
              "this cairn was built without CUDA; build it where nvcc is (docs/gpu.md), or use "
              "--device cpu");
}

}  // namespace

void DeviceRelease::operator()(std::byte*) const {}
void DeviceRelease::operator()(CUevent_st*) const {}
void DeviceRelease::operator()(CUstream_st*) const {}
void GraphRelease::operator()(CUgraphExec_st*) const {}
void PinnedRelease::operator()(std::byte*) const {}

Result<bool> DeviceEvent::Passed() const { return NoCuda(); }
Status DeviceEvent::Wait() const { return NoCuda(); }
Result<double> DeviceEvent::SecondsSince(const DeviceEvent&) const { return NoCuda(); }

Status DeviceStream::CopyToDevice(std::byte*, const std::byte*, size_t) { return NoCuda(); }
Status DeviceStream::CopyToHost(std::byte*, const std::byte*, size_t) { return NoCuda(); }
Status DeviceStream::CopyBatchToDevice(std::span<std::byte* const>,
                                       std::span<const std::byte* const>, size_t) {
  return NoCuda();
}
Status DeviceStream::CopyPiecesToDevice(std::byte*, const std::byte*, const Pieces&) {
  return NoCuda();
}
Status DeviceStream::CopyPiecesOnDevice(std::byte*, const std::byte*, const Pieces&) {
  return NoCuda();
}
Status DeviceStream::CopyPiecesToHost(std::byte*, const std::byte*, const Pieces&) {
  return NoCuda();
}
Status DeviceStream::Fill(std::byte*, uint8_t, size_t) { return NoCuda(); }
Status DeviceStream::BeginCapture() { return NoCuda(); }
Result<DeviceGraph> DeviceStream::EndCapture() { return NoCuda(); }
Status DeviceStream::Run(const DeviceGraph&) { return NoCuda(); }
Status DeviceStream::Record(DeviceEvent&) { return NoCuda(); }
Status DeviceStream::WaitFor(const DeviceEvent&) { return NoCuda(); }
Status DeviceStream::Wait() { return NoCuda(); }

DeviceScope::DeviceScope() : outer_(nullptr) {}
DeviceScope::~DeviceScope() = default;

std::string Device::Api() { return ""; }
int32_t Device::Count() { return 0; }
Result<std::unique_ptr<Device>> Device::Open(int32_t) { return NoCuda(); }
std::string Device::Name() const { return "cuda"; }
Result<uint64_t> Device::FreeBytes() { return NoCuda(); }
Result<DeviceBuffer> Device::Allocate(size_t) { return NoCuda(); }
Result<PinnedBuffer> Device::AllocatePinned(size_t) { return NoCuda(); }
Result<DeviceStream> Device::MakeStream() { return NoCuda(); }
Result<DeviceEvent> Device::MakeEvent() { return NoCuda(); }
Result<DeviceEvent> Device::MakeTimedEvent() { return NoCuda(); }
DeviceCounts Device::Counts() const { return {}; }
Status Device::Use() const { return NoCuda(); }

}  // namespace cairn
