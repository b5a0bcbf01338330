#include "model/device_llama.h"

#include <algorithm>
#include <cstring>

#include "base/byte_size.h"
#include "base/check.h"
#include "base/parallel.h"
#include "engine/device_buffers.h"
#include "kernels/cuda/transformer.h"
#include "model/llama.h"

namespace cairn {
namespace {

constexpr size_t kUploadBytes = size_t{16} << 20;  // at once
constexpr int64_t kNumbersAtOnce = 1 << 16;        // by a thread, at least

const float* Floats(const DeviceBuffer& buffer) {
  return reinterpret_cast<const float*>(buffer.data());
}

uint64_t WeightBytes(const LlamaConfig& c, DType type) {
  const uint64_t q = uint64_t(c.query_heads) * c.head_dim, kv = uint64_t(c.kv_heads) * c.head_dim;
  const uint64_t hidden = c.hidden, ffn = c.ffn;
  const uint64_t layer = hidden * (2 * q + 2 * kv) + 3 * hidden * ffn;
  const uint64_t vectors =
      (c.has_bias ? q + 2 * kv : 0) + (c.has_head_norms ? 2 * c.head_dim : 0) + 2 * hidden;
  return (c.layers * layer + hidden * c.vocab) * DTypeBytes(type) +
         (c.layers * vectors + hidden) * sizeof(float);
}

}  // namespace

DeviceLlama::DeviceLlama(std::unique_ptr<Device> device, const LlamaConfig& config, DType type,
                         DeviceMatmul matmul, DeviceStream stream)
    : device_(std::move(device)),
      config_(config),
      type_(type),
      matmul_(std::move(matmul)),
      stream_(std::move(stream)) {}

Result<std::unique_ptr<DeviceLlama>> DeviceLlama::Open(int32_t number, const LlamaConfig& config,
                                                       DType type) {
  CAIRN_TRY(auto device, Device::Open(number));
  const uint64_t needed = WeightBytes(config, type);
  CAIRN_TRY(const uint64_t free_bytes, device->FreeBytes());
  if (needed > free_bytes) {
    return Fail(Errc::kResource,
                "the model's weights take {} and {} has {} free; use a smaller model, or "
                "--device cpu",
                FormatByteSize(needed), device->Name(), FormatByteSize(free_bytes));
  }
  CAIRN_TRY(auto matmul, DeviceMatmul::Open(*device));
  CAIRN_TRY(auto stream, device->MakeStream());
  return std::unique_ptr<DeviceLlama>(
      new DeviceLlama(std::move(device), config, type, std::move(matmul), std::move(stream)));
}

Result<DeviceMatrix> DeviceLlama::Upload(const std::vector<float>& weights, int64_t n, int64_t k) {
  CAIRN_CHECK(std::ssize(weights) == n * k);
  DeviceMatrix matrix{.weights = {}, .n = n, .k = k};
  const size_t each = DTypeBytes(type_);
  CAIRN_TRY(matrix.weights, device_->Allocate(weights.size() * each));
  CAIRN_TRY(const PinnedBuffer staged,
            device_->AllocatePinned(std::min(kUploadBytes, weights.size() * each)));
  const size_t at_once = kUploadBytes / each;
  for (size_t first = 0; first < weights.size(); first += at_once) {
    const size_t count = std::min(at_once, weights.size() - first);
    const float* const from = weights.data() + first;
    ParallelRanges(static_cast<int64_t>(count), kNumbersAtOnce, [&](int64_t begin, int64_t end) {
      ConvertFromFloat(type_, from + begin, staged.data() + static_cast<size_t>(begin) * each,
                       static_cast<size_t>(end - begin));
    });
    CAIRN_TRY(
        stream_.CopyToDevice(matrix.weights.data() + first * each, staged.data(), count * each));
    CAIRN_TRY(stream_.Wait());
  }
  weight_bytes_ += weights.size() * each;
  return matrix;
}

Result<DeviceBuffer> DeviceLlama::UploadVector(const std::vector<float>& weights) {
  if (weights.empty()) return DeviceBuffer();
  const size_t bytes = weights.size() * sizeof(float);
  CAIRN_TRY(auto buffer, device_->Allocate(bytes));
  CAIRN_TRY(const PinnedBuffer staged, device_->AllocatePinned(bytes));
  std::memcpy(staged.data(), weights.data(), bytes);
  CAIRN_TRY(stream_.CopyToDevice(buffer.data(), staged.data(), bytes));
  CAIRN_TRY(stream_.Wait());
  weight_bytes_ += bytes;
  return buffer;
}

void DeviceLlama::SetOutput(DeviceBuffer norm, DeviceMatrix output) {
  output_norm_ = std::move(norm);
  output_ = std::move(output);
}

int64_t DeviceLlama::q_width() const { return int64_t{config_.query_heads} * config_.head_dim; }

int64_t DeviceLlama::qkv_width() const {
  return q_width() + 2 * int64_t{config_.kv_heads} * config_.head_dim;
}

Status DeviceLlama::Reserve(int64_t rows, int64_t logit_rows) {
  if (rows <= rows_ && logit_rows <= logit_rows_) return Ok();
  rows = std::max(rows, rows_);
  logit_rows = std::max(logit_rows, logit_rows_);
  rows_ = logit_rows_ = hidden_rows_ = made_logits_ = 0;
  const int64_t hidden = config_.hidden, ffn = config_.ffn;
  const auto type_bytes = static_cast<int64_t>(DTypeBytes(type_));
  constexpr int64_t kFloat = sizeof(float);
  size_t bytes = 0;
  const auto take = [&](int64_t count, int64_t width, int64_t each) {
    const size_t at = bytes;
    bytes += (static_cast<size_t>(count * width * each) + 255) / 256 * 256;
    return at;
  };
  const size_t x = take(rows, hidden, kFloat), qkv = take(rows, qkv_width(), kFloat);
  const size_t attended = take(rows, q_width(), kFloat), projected = take(rows, hidden, kFloat);
  const size_t gate_up = take(rows, 2 * ffn, kFloat), hidden_rows = take(rows, hidden, kFloat);
  const size_t logits = take(logit_rows, config_.vocab, kFloat);
  const size_t normed = take(rows, hidden, type_bytes);
  const size_t attended_as = take(rows, q_width(), type_bytes);
  const size_t activated = take(rows, ffn, type_bytes);
  const size_t hidden_as = take(rows, hidden, type_bytes);
  const size_t likeliest = take(logit_rows, 1, sizeof(int32_t));
  memory_ = {};
  CAIRN_TRY(memory_, device_->Allocate(bytes));
  const auto floats = [this](size_t at) { return reinterpret_cast<float*>(memory_.data() + at); };
  const auto bytes_at = [this](size_t at) { return memory_.data() + at; };
  at_ = {.x = floats(x),
         .qkv = floats(qkv),
         .attended = floats(attended),
         .projected = floats(projected),
         .gate_up = floats(gate_up),
         .hidden = floats(hidden_rows),
         .logits = floats(logits),
         .normed = bytes_at(normed),
         .attended_as = bytes_at(attended_as),
         .activated = bytes_at(activated),
         .hidden_as = bytes_at(hidden_as),
         .likeliest = reinterpret_cast<int32_t*>(bytes_at(likeliest))};
  CAIRN_TRY(Grow(&likeliest_, static_cast<size_t>(logit_rows) * sizeof(int32_t), *device_));
  CAIRN_TRY(Grow(&input_, static_cast<size_t>(rows * hidden * kFloat), *device_));
  CAIRN_TRY(Grow(&hidden_, static_cast<size_t>(rows * hidden * kFloat), *device_));
  CAIRN_TRY(Grow(&logits_, static_cast<size_t>(logit_rows * config_.vocab * kFloat), *device_));
  graph_.reset();
  last_ = {};
  rows_ = rows;
  logit_rows_ = logit_rows;
  return Ok();
}

Status DeviceLlama::Multiply(const DeviceMatrix& matrix, const std::byte* x, int64_t rows, float* y,
                             DeviceStream& stream) {
  return matmul_.Multiply(type_, matrix.weights.data(), matrix.n, matrix.k, x, rows, y, stream);
}

Status DeviceLlama::BeforeAttention(int32_t index, int32_t rows, DeviceStream& stream) {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  CAIRN_TRY(cuda::RmsNorm(at_.x, Floats(layer.attention_norm), config_.rms_epsilon, rows,
                          config_.hidden, type_, at_.normed, stream.get()));
  CAIRN_TRY(Multiply(layer.qkv, at_.normed, rows, at_.qkv, stream));
  const HeadWeights heads = {Floats(layer.bias), Floats(layer.query_norm), Floats(layer.key_norm),
                             config_.rms_epsilon};
  return cuda::FinishHeads(heads, config_.heads(), rows, at_.qkv, stream.get());
}

Status DeviceLlama::AfterAttention(int32_t index, int32_t rows, const int32_t* stopped,
                                   DeviceStream& stream) {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const int64_t numbers = int64_t{rows} * config_.hidden;
  CAIRN_TRY(
      cuda::ConvertFloats(at_.attended, rows * q_width(), type_, at_.attended_as, stream.get()));
  CAIRN_TRY(Multiply(layer.output, at_.attended_as, rows, at_.projected, stream));
  CAIRN_TRY(cuda::AddRows(at_.x, at_.projected, numbers, stopped, stream.get()));
  CAIRN_TRY(cuda::RmsNorm(at_.x, Floats(layer.ffn_norm), config_.rms_epsilon, rows, config_.hidden,
                          type_, at_.normed, stream.get()));
  CAIRN_TRY(Multiply(layer.gate_up, at_.normed, rows, at_.gate_up, stream));
  CAIRN_TRY(cuda::SwiGlu(at_.gate_up, rows, config_.ffn, type_, at_.activated, stream.get()));
  CAIRN_TRY(Multiply(layer.down, at_.activated, rows, at_.projected, stream));
  return cuda::AddRows(at_.x, at_.projected, numbers, stopped, stream.get());
}

Status DeviceLlama::Finish(int32_t rows, bool decodes, DeviceStream& stream) {
  const size_t bytes = static_cast<size_t>(rows) * config_.hidden * sizeof(float);
  CAIRN_TRY(cuda::RmsNorm(at_.x, Floats(output_norm_), config_.rms_epsilon, rows, config_.hidden,
                          DType::kF32, reinterpret_cast<std::byte*>(at_.hidden), stream.get()));
  CAIRN_TRY(stream.CopyToHost(hidden_.data(), reinterpret_cast<std::byte*>(at_.hidden), bytes));
  if (!decodes) return Ok();
  CAIRN_TRY(cuda::ConvertFloats(at_.hidden, int64_t{rows} * config_.hidden, type_, at_.hidden_as,
                                stream.get()));
  CAIRN_TRY(Multiply(output_, at_.hidden_as, rows, at_.logits, stream));
  CAIRN_TRY(cuda::Greedy(at_.logits, rows, config_.vocab, at_.likeliest, stream.get()));
  return stream.CopyToHost(likeliest_.data(), reinterpret_cast<std::byte*>(at_.likeliest),
                           static_cast<size_t>(rows) * sizeof(int32_t));
}

}  // namespace cairn
