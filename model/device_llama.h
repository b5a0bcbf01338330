// DeviceLlama: the forward pass of a Llama on a device: weights, rows and logits lie there, and all
// of a step is put on one stream. With a session whose landmarks and blocks are there too, the host
// waits once a step, and once for each layer whose blocks have to be fetched; a step of one row
// that launches what the one before did is one launch, of a graph. Other attention (all past rows,
// or a session that is being watched) is asked on the host, layer by layer.
//
// Products are of bf16 with sums of f32, as a CPU with bf16 does them, or all f32.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/device.h"
#include "base/device_matmul.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/timeline.h"
#include "engine/device_step.h"
#include "model/attention_backend.h"

namespace cairn {

struct LlamaConfig;

/// A weight [n, k] on a device.
struct DeviceMatrix {
  DeviceBuffer weights;
  int64_t n = 0;
  int64_t k = 0;
};

/// One thread at a time.
class DeviceLlama {
 public:
  /// The weights of one layer.
  struct Layer {
    DeviceBuffer attention_norm, ffn_norm;    // [hidden] f32
    DeviceBuffer bias, query_norm, key_norm;  // f32, as Llama's, or empty
    DeviceMatrix qkv, output, gate_up, down;  // as Llama's
  };

  /// On device `number`. `type` of products: kBF16 or kF32. kUnsupported or kNotFound if it is not
  /// to be had, kResource that says what the weights need if they do not fit.
  static Result<std::unique_ptr<DeviceLlama>> Open(int32_t number, const LlamaConfig& config,
                                                   DType type);

  // While it is loaded.
  Result<DeviceMatrix> Upload(const std::vector<float>& weights, int64_t n, int64_t k);
  /// An empty buffer of nothing.
  Result<DeviceBuffer> UploadVector(const std::vector<float>& weights);
  void Add(Layer layer) { layers_.push_back(std::move(layer)); }
  void SetOutput(DeviceBuffer norm, DeviceMatrix output);

  /// As Llama::Forward, of embedded rows that the caller wrote to Input: the normalised hidden rows
  /// on the host. `decodes`: logits of all rows, of which there are few, are made with them, and
  /// the likeliest token of each comes back.
  Result<float*> Input(int64_t rows);
  Result<const float*> Forward(int32_t rows, AttentionBackend& attention, bool decodes,
                               Timeline* timeline);
  /// As Llama::Logits.
  Status Logits(const float* hidden, int64_t rows, float* logits);
  /// The token of the largest logit, the lowest of equal ones, of a hidden row of the last Forward;
  /// nothing unless that was to decode.
  std::optional<uint32_t> Likeliest(const float* hidden) const;

  uint64_t weight_bytes() const { return weight_bytes_; }
  const Device& device() const { return *device_; }

 private:
  /// Where rows lie, [rows, …] f32 if not of the type of products.
  struct Rows {
    float *x, *qkv, *attended, *projected, *gate_up, *hidden, *logits;
    std::byte *normed, *attended_as, *activated, *hidden_as;  // of the type
    int32_t* likeliest;
  };
  /// What a captured step was.
  struct Captured {
    uint64_t launches = 0;  // DeviceStep's
    int32_t rows = 0;
    const std::byte* memory = nullptr;
    bool operator==(const Captured&) const = default;
  };

  DeviceLlama(std::unique_ptr<Device> device, const LlamaConfig& config, DType type,
              DeviceMatmul matmul, DeviceStream stream);
  /// Which row of the last Forward this is; −1: none.
  int64_t RowOf(const float* hidden) const;
  int64_t q_width() const;
  int64_t qkv_width() const;
  Status Reserve(int64_t rows, int64_t logit_rows);
  Status Multiply(const DeviceMatrix& matrix, const std::byte* x, int64_t rows, float* y,
                  DeviceStream& stream);
  /// Layers from `from` on, and what comes after them.
  Status Launch(int32_t from, int32_t rows, DeviceStep& step, bool decodes, Timeline* timeline);
  Status LaunchLayer(int32_t index, int32_t rows, DeviceStep& step);
  /// By a graph if there is one of the same step, or now is the time to make it.
  Status LaunchOrRun(int32_t rows, DeviceStep& step, bool decodes, Timeline* timeline);
  Status BeforeAttention(int32_t index, int32_t rows, DeviceStream& stream);
  Status AfterAttention(int32_t index, int32_t rows, const int32_t* stopped, DeviceStream& stream);
  Status Finish(int32_t rows, bool decodes, DeviceStream& stream);
  Status LayersByHost(int32_t rows, AttentionBackend& attention, Timeline* timeline);
  bool Capture(int32_t rows, DeviceStep& step, Timeline* timeline);
  Status LaunchUntilSettled(int32_t rows, DeviceStep& step, bool decodes, Timeline* timeline);
  /// False if the backend cannot make it there, and nothing was done.
  Result<bool> StepOnDevice(int32_t rows, AttentionBackend& attention, bool decodes,
                            Timeline* timeline);
  /// Ends a step that was `done`, or aborts it.
  Status Ended(Status done, AttentionBackend& attention);
  Status StepByHost(int32_t rows, AttentionBackend& attention, bool decodes, Timeline* timeline);

  std::unique_ptr<Device> device_;
  const LlamaConfig& config_;
  const DType type_;
  DeviceMatmul matmul_;
  std::vector<Layer> layers_;
  DeviceBuffer output_norm_;
  DeviceMatrix output_;
  uint64_t weight_bytes_ = 0;

  int64_t rows_ = 0, logit_rows_ = 0;  // that there is room for
  Rows at_{};
  DeviceBuffer memory_;  // at_
  PinnedBuffer input_, hidden_, logits_, likeliest_;
  PinnedBuffer attended_, qkv_;       // where the host attends
  std::vector<float> q_, k_, v_, o_;  // the same
  int64_t hidden_rows_ = 0;           // of the last step
  int64_t made_logits_ = 0;           // of them, rows that have logits on the device
  Captured last_;                     // step of one row
  bool captures_ = true;              // last_, until that failed
  std::optional<DeviceGraph> graph_;  // of last_
  DeviceStream stream_;               // goes first, and waits for what uses the rest
};

}  // namespace cairn
