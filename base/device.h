// Device: a GPU as the rest of cairn sees it: memory on it, host memory that it can reach, streams
// and events. Only device_cuda.cc knows CUDA; a build without it has device_none.cc, where no
// device can be opened.
//
// What is put on a stream runs in order, later; the caller goes on at once. Host memory in a copy
// must be pinned, and stay as it is until an event behind the copy has passed or the stream was
// waited for. Every wait of the host is counted. Thread-safe, but for moving and destroying.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"

struct CUstream_st;
struct CUevent_st;
struct CUgraphExec_st;

namespace cairn {

class Device;

/// Gives back what a device made; defined beside what made it.
struct DeviceRelease {
  void operator()(std::byte* memory) const;
  void operator()(CUevent_st* event) const;
  void operator()(CUstream_st* stream) const;  ///< waits for what is on it
  Device* device = nullptr;
};
/// A graph may outlive the Device of the stream that captured it, so it has its number alone.
struct GraphRelease {
  void operator()(CUgraphExec_st* graph) const;
  int32_t device = 0;
};
struct PinnedRelease {
  void operator()(std::byte* memory) const;
  Device* device = nullptr;
};

/// Memory on a device, aligned to 256 bytes. Owns it. The host must not touch it, and nothing may
/// use it any more when it goes.
class DeviceBuffer {
 public:
  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  friend class Device;
  std::unique_ptr<std::byte, DeviceRelease> data_;
  size_t bytes_ = 0;
};

/// Host memory that a device reads and writes by itself (page-locked), aligned to 4096 bytes.
class PinnedBuffer {
 public:
  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  friend class Device;
  std::unique_ptr<std::byte, PinnedRelease> data_;
  size_t bytes_ = 0;
};

/// A point in a stream that others can wait for.
class DeviceEvent {
 public:
  /// Whether all before the last Record has run; true if there was none. kIo if something failed.
  Result<bool> Passed() const;
  /// The host waits, counted. kIo with the reason if something before it failed.
  Status Wait() const;
  /// By the device's clock, from the last Record of `earlier` to that of this one; both events are
  /// timed and have passed, else kIo.
  Result<double> SecondsSince(const DeviceEvent& earlier) const;

 private:
  friend class Device;
  friend class DeviceStream;
  std::unique_ptr<CUevent_st, DeviceRelease> event_;
};

/// What was asked of a device since it was opened.
struct DeviceCounts {
  uint64_t copies = 0;          ///< calls, one for a batch
  uint64_t batched_blocks = 0;  ///< pieces of batches
  uint64_t bytes_to_device = 0;
  uint64_t bytes_to_host = 0;
  uint64_t waits = 0;     ///< of the host
  uint64_t launches = 0;  ///< of graphs
};

/// What a stream was given between BeginCapture and EndCapture, to be run again and again by one
/// call. Addresses are those of then; what lies there is read when it runs.
class DeviceGraph {
 private:
  friend class Device;
  friend class DeviceStream;
  std::unique_ptr<CUgraphExec_st, GraphRelease> graph_;
  DeviceCounts counts_;  // of one run
};

/// Runs what is put on it in order, beside other streams.
class DeviceStream {
 public:
  Status CopyToDevice(std::byte* target, const std::byte* pinned_source, size_t bytes);
  Status CopyToHost(std::byte* pinned_target, const std::byte* source, size_t bytes);
  /// `bytes` from each of `pinned_sources` to the target of its place, in one call, in any order.
  Status CopyBatchToDevice(std::span<std::byte* const> targets,
                           std::span<const std::byte* const> pinned_sources, size_t bytes);
  /// `count` pieces of `bytes` that begin so many bytes apart, there and here: one copy, or one for
  /// each piece where they are 2 GiB apart or more, which CUDA does not take.
  struct Pieces {
    size_t bytes, count, target_stride, source_stride;
  };
  Status CopyPiecesToDevice(std::byte* target, const std::byte* pinned_source,
                            const Pieces& pieces);
  Status CopyPiecesOnDevice(std::byte* target, const std::byte* source, const Pieces& pieces);
  Status CopyPiecesToHost(std::byte* pinned_target, const std::byte* source, const Pieces& pieces);
  /// Sets each of `bytes` on the device to `value`.
  Status Fill(std::byte* target, uint8_t value, size_t bytes);
  Status Record(DeviceEvent& event);
  /// What is put here from now on runs after the event's last Record. The host does not wait.
  Status WaitFor(const DeviceEvent& event);
  /// The host waits for all that is on it, counted. kIo with the reason if something failed.
  Status Wait();
  /// The same, also if `put` is a failure to put something here, so that what was put before that
  /// uses no memory of the host any more. The first failure of both.
  Status WaitAfter(Status put) {
    Status waited = Wait();
    return put ? waited : put;
  }

  /// What the calling thread puts here until EndCapture becomes a graph and does not run. Meanwhile
  /// the thread neither allocates nor waits. After an error no capture is under way.
  Status BeginCapture();
  Result<DeviceGraph> EndCapture();
  /// Puts all of a graph that a stream of the same device captured here.
  Status Run(const DeviceGraph& graph);

  /// For launching kernels, which run on the device that the calling thread last used.
  CUstream_st* get() const { return stream_.get(); }

 private:
  friend class Device;
  Status Use() const;
  void Count(const DeviceCounts& more);
  std::unique_ptr<CUstream_st, DeviceRelease> stream_;
  bool capturing_ = false;
  DeviceCounts captured_;
};

/// For a library that is called by programs with devices of their own: when it goes, its thread's
/// current device is what it was before any was used in here, or none. Scopes nest.
class DeviceScope {
 public:
  DeviceScope();
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  friend class Device;
  DeviceScope* const outer_;
  bool used_ = false;
  void* before_ = nullptr;  // CUDA's context
};

/// Must outlive all that it makes.
class Device {
 public:
  /// What this build reaches devices by, e.g. "CUDA 13.0"; "" without any.
  static std::string Api();
  /// How many there are; 0 where this build or machine has none.
  static int32_t Count();
  /// The device of this number, below Count(). kUnsupported without CUDA, with the remedy.
  static Result<std::unique_ptr<Device>> Open(int32_t number);

  /// "cuda:N", as options name it.
  std::string Name() const;
  /// What its maker calls it.
  const std::string& model() const { return model_; }
  int32_t multiprocessors() const { return multiprocessors_; }
  /// Bytes that can be allocated now.
  Result<uint64_t> FreeBytes();

  /// kResource that says what would fit if there is not so much.
  Result<DeviceBuffer> Allocate(size_t bytes);
  Result<PinnedBuffer> AllocatePinned(size_t bytes);
  Result<DeviceStream> MakeStream();
  Result<DeviceEvent> MakeEvent();
  /// One that also knows when it passed.
  Result<DeviceEvent> MakeTimedEvent();

  DeviceCounts Counts() const;
  /// Kernels that the calling thread launches from here on run on this device.
  Status Use() const;

 private:
  friend class DeviceEvent;
  friend class DeviceStream;
  friend struct DeviceRelease;
  friend struct GraphRelease;
  friend struct PinnedRelease;
  static Status Use(int32_t number);
  Device(int32_t number, std::string model, int32_t multiprocessors)
      : number_(number), model_(std::move(model)), multiprocessors_(multiprocessors) {}

  const int32_t number_;
  const std::string model_;
  const int32_t multiprocessors_;
  Result<DeviceEvent> MakeEventOf(unsigned flags);
  void Count(const DeviceCounts& more);
  std::atomic<uint64_t> copies_ = 0, batched_blocks_ = 0, bytes_to_device_ = 0, bytes_to_host_ = 0,
                        waits_ = 0, launches_ = 0;
};

}  // namespace cairn
