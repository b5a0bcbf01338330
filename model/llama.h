// Llama: the forward pass of a llama or of a model much like one (architecture.h): RMSNorm, RoPE,
// grouped-query attention, SwiGLU, over an AttentionBackend. Weights come from a GGUF file. To read
// text, LoRA adapters are merged into them in f32 and the sums rounded to the compute type. To
// decode, where the time goes into reading weights, a quantised file's are taken as they are, with
// the adapters beside them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/page_buffer.h"
#include "base/timeline.h"
#include "kernels/rope.h"
#include "kernels/transformer.h"
#include "model/adapter_set.h"
#include "model/attention_backend.h"
#include "model/device_llama.h"
#include "model/gguf.h"
#include "model/linear.h"
#include "model/quant_linear.h"

namespace cairn {

struct LlamaConfig {
  int32_t layers = 0;
  int32_t hidden = 0;
  int32_t ffn = 0;
  int32_t query_heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t vocab = 0;
  int32_t context = 0;  ///< rows the model was trained on
  float rms_epsilon = 1e-5f;
  RopeStyle rope_style = RopeStyle::kInterleaved;
  bool has_bias = false;                    ///< of q, k and v
  bool has_head_norms = false;              ///< of each query and key
  std::vector<double> inverse_frequencies;  ///< with rope_freqs factors applied

  HeadCounts heads() const { return {query_heads, kv_heads, head_dim}; }
};

/// How products are computed. kFast: bf16 where the CPU has it, else f32.
enum class LinearKind : uint8_t { kFast, kF32, kReference };

/// What a step is for: kRead multiplies many rows by packed weights; kDecode a row or two by the
/// file's own, if it is quantised and PackForDecode was called. The two differ by rounding.
enum class StepKind : uint8_t { kRead, kDecode };

/// The id of a landmark row in Forward's input.
inline constexpr int32_t kLandmarkRow = -1;

class Llama {
 public:
  /// What Load would refuse before it reads any weight: kUnsupported naming an architecture, RoPE
  /// scaling or tensor it does not know, kInvalidArgument for a file that is no model.
  static Status CheckSupported(const GgufFile& file);

  /// `file` must outlive the model (the token embedding is read from it); `adapters` may go.
  /// kUnsupported names an architecture, RoPE scaling or tensor it does not know; kCorruption names
  /// a tensor that is missing or of the wrong shape. With the number of a device, weights are there
  /// and so is the work: in bf16 for kFast, else f32.
  static Result<std::unique_ptr<Llama>> Load(const GgufFile& file, const AdapterSet& adapters,
                                             LinearKind kind,
                                             std::optional<int32_t> device = std::nullopt);

  /// Makes steps of kDecode fast; without it they are computed as kRead. Products whose tensors are
  /// not quantised stay as they are, and all of them unless the model was loaded as kFast, for the
  /// CPU. `adapters` are those it was loaded with, and may go after. Does nothing the second time.
  Status PackForDecode(const AdapterSet& adapters);

  const LlamaConfig& config() const { return config_; }
  /// From now on told how long steps and their layers take (null: stop).
  void Observe(Timeline* timeline) { timeline_ = timeline; }
  uint64_t weight_bytes() const;

  /// Runs one step of `ids` (token ids or kLandmarkRow) through all layers. Returns the normalised
  /// hidden rows [ids, hidden], valid until the next call. On an error the step is aborted.
  Result<const float*> Forward(std::span<const int32_t> ids, AttentionBackend& attention,
                               StepKind kind = StepKind::kRead);

  /// Logits [rows, vocab] of hidden rows. Fails only on a device.
  Status Logits(const float* hidden, int64_t rows, float* logits, StepKind kind = StepKind::kRead) {
    if (on_device_ != nullptr) return on_device_->Logits(hidden, rows, logits);
    output_.For(kind).Apply(hidden, rows, logits);
    return Ok();
  }

  /// The token of the largest logit of a hidden row of the last Forward, where that came with it:
  /// on a device, of a step to decode.
  std::optional<uint32_t> Likeliest(const float* hidden) const {
    return on_device_ == nullptr ? std::nullopt : on_device_->Likeliest(hidden);
  }

 private:
  /// The weights of one product.
  struct Product {
    const Linear& For(StepKind kind) const {
      return kind == StepKind::kDecode && quantised ? *quantised : *packed;
    }
    uint64_t bytes() const { return packed->bytes() + (quantised ? quantised->bytes() : 0); }

    DeviceMatrix on_device;  // and nothing else, where the model is on one
    std::unique_ptr<Linear> packed;
    std::unique_ptr<Linear> quantised;       // or null
    std::vector<const GgufTensor*> tensors;  // of the file, one above the other
  };
  struct Layer {
    std::vector<float> attention_norm;  // [hidden]
    std::vector<float> ffn_norm;        // [hidden]
    std::vector<float> bias;            // [(Hq + 2 Hkv)·D], or empty
    std::vector<float> query_norm;      // [D], or empty
    std::vector<float> key_norm;        // [D], or empty
    Product qkv;                        // [(Hq + 2 Hkv)·D, hidden]
    Product output;                     // [hidden, Hq·D]
    Product gate_up;                    // [2·ffn, hidden]
    Product down;                       // [hidden, ffn]
  };
  struct Loader;

  Llama(const GgufFile& file, LinearKind kind) : file_(file), kind_(kind) {}
  /// Rows of `ids` to [ids, hidden].
  Status Embed(std::span<const int32_t> ids, float* rows) const;
  Status RunLayer(int32_t index, int32_t rows, AttentionBackend& attention, StepKind kind);
  void ResizeBuffers(int64_t rows);

  const GgufFile& file_;
  const LinearKind kind_;
  Timeline* timeline_ = nullptr;
  LlamaConfig config_;
  const GgufTensor* embedding_ = nullptr;
  std::vector<float> merged_embedding_;    // [vocab, hidden] if adapters change it, or empty
  std::vector<float> landmark_embedding_;  // [hidden], or empty
  std::vector<float> output_norm_;
  std::vector<Layer> layers_;
  Product output_;
  std::optional<PageBuffer> quantised_;     // the memory of all quantised weights
  std::unique_ptr<DeviceLlama> on_device_;  // or null

  std::vector<float> x_, normed_, qkv_, q_, k_, v_, attended_, projected_, gate_up_, activated_,
      hidden_;
};

}  // namespace cairn
