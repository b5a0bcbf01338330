#include "model/llama.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "model/activations.h"

namespace cairn {
namespace {

constexpr int64_t kRowsPerTask = 16;  // element-wise work below this is not worth another core

const float* OrNull(const std::vector<float>& numbers) {
  return numbers.empty() ? nullptr : numbers.data();
}

}  // namespace

uint64_t Llama::weight_bytes() const {
  if (on_device_ != nullptr) return on_device_->weight_bytes();
  uint64_t sum = output_.bytes();
  for (const Layer& layer : layers_) {
    sum += layer.qkv.bytes() + layer.output.bytes() + layer.gate_up.bytes() + layer.down.bytes();
  }
  return sum;
}

void Llama::ResizeBuffers(int64_t rows) {
  const int64_t q = static_cast<int64_t>(config_.query_heads) * config_.head_dim;
  const int64_t kv = static_cast<int64_t>(config_.kv_heads) * config_.head_dim;
  const auto resize = [rows](std::vector<float>& buffer, int64_t width) {
    if (std::ssize(buffer) < rows * width) buffer.resize(static_cast<size_t>(rows * width));
  };
  for (auto* buffer : {&x_, &normed_, &projected_, &hidden_}) resize(*buffer, config_.hidden);
  for (auto* buffer : {&k_, &v_}) resize(*buffer, kv);
  for (auto* buffer : {&q_, &attended_}) resize(*buffer, q);
  resize(qkv_, q + 2 * kv);
  resize(gate_up_, 2 * config_.ffn);
  resize(activated_, config_.ffn);
}

Status Llama::Embed(std::span<const int32_t> ids, float* rows) const {
  const uint64_t row_bytes = embedding_->bytes / embedding_->Rows();
  for (size_t i = 0; i < ids.size(); ++i) {
    float* target = rows + static_cast<int64_t>(i) * config_.hidden;
    if (ids[i] == kLandmarkRow) {
      CAIRN_CHECK(std::ssize(landmark_embedding_) == config_.hidden);
      std::copy(landmark_embedding_.begin(), landmark_embedding_.end(), target);
      continue;
    }
    if (ids[i] < 0 || ids[i] >= config_.vocab) {
      return Fail(Errc::kInvalidArgument, "token id {} is outside the vocabulary of {}", ids[i],
                  config_.vocab);
    }
    if (!merged_embedding_.empty()) {
      std::copy_n(merged_embedding_.data() + static_cast<int64_t>(ids[i]) * config_.hidden,
                  config_.hidden, target);
      continue;
    }
    CAIRN_TRY(Dequantize(embedding_->type,
                         embedding_->data + static_cast<uint64_t>(ids[i]) * row_bytes,
                         config_.hidden, target));
    if (!std::all_of(target, target + config_.hidden, [](float x) { return std::isfinite(x); })) {
      return Fail(Errc::kCorruption,
                  "the embedding of token {} in {} has numbers that are infinite or none; get the "
                  "file again",
                  ids[i], file_.path());
    }
  }
  return Ok();
}

Status Llama::RunLayer(int32_t index, int32_t rows, AttentionBackend& attention, StepKind kind) {
  const Slice slice(timeline_, "layer", index);
  const Layer& layer = layers_[index];
  const int64_t hidden = config_.hidden, ffn = config_.ffn;
  const int64_t q = static_cast<int64_t>(config_.query_heads) * config_.head_dim;
  const int64_t kv = static_cast<int64_t>(config_.kv_heads) * config_.head_dim;
  const auto for_rows = [rows](auto&& body) {
    ParallelRanges(rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row);
    });
  };
  for_rows([&](int64_t row) {
    RmsNorm(x_.data() + row * hidden, layer.attention_norm.data(), config_.rms_epsilon, hidden,
            normed_.data() + row * hidden);
  });
  layer.qkv.For(kind).Apply(normed_.data(), rows, qkv_.data());
  const HeadWeights heads = {OrNull(layer.bias), OrNull(layer.query_norm), OrNull(layer.key_norm),
                             config_.rms_epsilon};
  for_rows([&](int64_t row) {
    float* source = qkv_.data() + row * (q + 2 * kv);
    FinishHeads(heads, config_.heads(), source);
    std::copy_n(source, q, q_.data() + row * q);
    std::copy_n(source + q, kv, k_.data() + row * kv);
    std::copy_n(source + q + kv, kv, v_.data() + row * kv);
  });
  CAIRN_TRY(attention.Attend(index, q_.data(), k_.data(), v_.data(), attended_.data()));
  layer.output.For(kind).Apply(attended_.data(), rows, projected_.data());
  for_rows([&](int64_t row) {
    AddInPlace(x_.data() + row * hidden, projected_.data() + row * hidden, hidden);
    RmsNorm(x_.data() + row * hidden, layer.ffn_norm.data(), config_.rms_epsilon, hidden,
            normed_.data() + row * hidden);
  });
  layer.gate_up.For(kind).Apply(normed_.data(), rows, gate_up_.data());
  for_rows([&](int64_t row) {
    const float* gate = gate_up_.data() + row * 2 * ffn;
    SwiGlu(gate, gate + ffn, ffn, activated_.data() + row * ffn);
  });
  layer.down.For(kind).Apply(activated_.data(), rows, projected_.data());
  for_rows([&](int64_t row) {
    AddInPlace(x_.data() + row * hidden, projected_.data() + row * hidden, hidden);
  });
  return Ok();
}

Result<const float*> Llama::Forward(std::span<const int32_t> ids, AttentionBackend& attention,
                                    StepKind kind) {
  const auto rows = static_cast<int32_t>(ids.size());
  const Slice slice(timeline_, "step", rows);
  if (on_device_ != nullptr) {
    CAIRN_TRY(float* const input, on_device_->Input(rows));
    CAIRN_TRY(Embed(ids, input));
    return on_device_->Forward(rows, attention, kind == StepKind::kDecode, timeline_);
  }
  ResizeBuffers(rows);
  CAIRN_TRY(Embed(ids, x_.data()));
  CAIRN_TRY(attention.BeginStep(rows));
  for (int32_t i = 0; i < config_.layers; ++i) {
    const Status done = RunLayer(i, rows, attention, kind);
    if (!done.has_value()) {
      attention.AbortStep();
      return done.as_failure();
    }
  }
  const Status ended = attention.EndStep();
  if (!ended.has_value()) {
    attention.AbortStep();
    return ended.as_failure();
  }
  ParallelRanges(rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      RmsNorm(x_.data() + row * config_.hidden, output_norm_.data(), config_.rms_epsilon,
              config_.hidden, hidden_.data() + row * config_.hidden);
    }
  });
  return hidden_.data();
}

}  // namespace cairn
