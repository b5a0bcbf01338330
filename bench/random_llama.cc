#include "bench/random_llama.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/llama.h"

namespace cairn {
namespace {

// A prime, so that the rows of no matrix repeat.
constexpr size_t kNumbers = 1'000'003;
constexpr int64_t kNumbersAtOnce = 1 << 16;  // by a thread, at least

}  // namespace

RandomFloats::RandomFloats(uint64_t seed) : random_(seed), numbers_(kNumbers) {
  std::normal_distribution<float> normal;
  for (float& number : numbers_) number = normal(random_);
}

void RandomFloats::Fill(float scale, std::span<float> values) {
  const size_t start = random_() % kNumbers;
  ParallelRanges(std::ssize(values), kNumbersAtOnce, [&](int64_t begin, int64_t end) {
    const auto last = static_cast<size_t>(end);
    for (auto filled = static_cast<size_t>(begin); filled < last;) {
      const size_t at = (start + filled) % kNumbers;
      const size_t count = std::min(last - filled, kNumbers - at);
      const float* const from = numbers_.data() + at;
      float* const to = values.data() + filled;
      for (size_t i = 0; i < count; ++i) to[i] = scale * from[i];
      filled += count;
    }
  });
}

Result<std::unique_ptr<DeviceLlama>> MakeRandomLlama(int32_t device, const LlamaConfig& config,
                                                     RandomFloats& random,
                                                     FunctionRef<bool(const std::string&)> stop) {
  const int64_t hidden = config.hidden, ffn = config.ffn;
  const int64_t q = int64_t{config.query_heads} * config.head_dim;
  const int64_t kv = int64_t{config.kv_heads} * config.head_dim;
  CAIRN_TRY(auto model, DeviceLlama::Open(device, config, DType::kBF16));
  std::vector<float> weights;
  const auto upload = [&](int64_t n, int64_t k, double scale) {
    weights.resize(static_cast<size_t>(n * k));
    random.Fill(static_cast<float>(scale / std::sqrt(static_cast<double>(k))), weights);
    return model->Upload(weights, n, k);
  };
  const std::vector<float> norm(static_cast<size_t>(hidden), 1.0f);
  const double added = 1 / std::sqrt(2.0 * config.layers);  // what each part adds to rows
  for (int32_t i = 0; i < config.layers; ++i) {
    if (stop(fmt::format("making weights: layer {} of {}", i + 1, config.layers))) {
      return Fail(Errc::kInterrupted, "stopped; nothing was kept");
    }
    DeviceLlama::Layer layer;
    CAIRN_TRY(layer.attention_norm, model->UploadVector(norm));
    CAIRN_TRY(layer.ffn_norm, model->UploadVector(norm));
    CAIRN_TRY(layer.qkv, upload(q + 2 * kv, hidden, 1));
    CAIRN_TRY(layer.output, upload(hidden, q, added));
    CAIRN_TRY(layer.gate_up, upload(2 * ffn, hidden, 1));
    CAIRN_TRY(layer.down, upload(hidden, ffn, added));
    model->Add(std::move(layer));
  }
  CAIRN_TRY(auto output_norm, model->UploadVector(norm));
  CAIRN_TRY(auto output, upload(config.vocab, hidden, 1));
  model->SetOutput(std::move(output_norm), std::move(output));
  return model;
}

}  // namespace cairn
