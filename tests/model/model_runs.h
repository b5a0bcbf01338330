// What tiny random models come to, on the host or on a device: logits after each token.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "model/attention_backend.h"
#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn::test {

inline constexpr int32_t kMostRows = 20;  ///< of a step

/// A tiny model with an adapter, as files.
class TinyFiles {
 public:
  TinyFiles(const TinyModelOptions& model, const TinyAdapterOptions& adapter);
  /// A landmark behind seven tokens, or an adapter without.
  explicit TinyFiles(bool landmark, int32_t layers = TinyModelOptions().layers)
      : TinyFiles(ModelOf(layers), AdapterOf(landmark)) {}
  LoadedLlama Load(LinearKind kind, std::optional<int32_t> device) const {
    return LoadedLlama(directory_.File("m"), directory_.File("a"), kind, device);
  }

 private:
  static TinyModelOptions ModelOf(int32_t layers) {
    TinyModelOptions options;
    options.layers = layers;
    options.ffn = 64;
    return options;
  }
  static TinyAdapterOptions AdapterOf(bool landmark) {
    TinyAdapterOptions options;
    options.landmark = landmark;
    options.regular_tokens = 7;
    return options;
  }

  ScratchDirectory directory_;
};

/// Bytes as the toy vocabulary has them; other ones for other seeds.
std::vector<uint32_t> SomeTokens(int64_t count, uint32_t seed);

/// Each token chooses; `blocks` per KV head.
SessionOptions Retrieving(int32_t blocks);

/// `few` blocks, or more than there are where chance would choose. In a first layer all landmarks
/// are equal, and of equal blocks the first ones are chosen. Host and device add in other orders,
/// and so does a GPU for other numbers of rows: landmarks that were made in several ways differ in
/// the last bit. `mixed`: they are made by host and device.
int32_t Choosing(int32_t few, bool landmark, bool mixed = false);

/// Tiers for some hundred blocks of tiny models, on device 0 or on the host alone.
inline EngineOptions OnDevice() {
  return {.host_bytes = 8 << 20, .compute_bytes = 2 << 20, .device = 0};
}
inline EngineOptions OnHost() { return {.host_bytes = 8 << 20}; }
std::unique_ptr<Engine> OpenEngine(const EngineOptions& options);

/// What a model says after a text and after each token of an answer.
struct Outcome {
  std::vector<float> logits;     ///< [answer, vocab]
  std::vector<uint32_t> tokens;  ///< the likeliest after each
};

/// Feeds a text, then `answer` tokens one by one: what the model itself says, or `said`.
Outcome Run(LoadedLlama& model, AttentionBackend& attention, const std::vector<uint32_t>& text,
            int64_t answer, const std::vector<uint32_t>* said = nullptr,
            int32_t most_rows = kMostRows);

/// All logits are numbers, and none is further off than `bound`.
void ExpectLogitsNear(const std::vector<float>& found, const std::vector<float>& expected,
                      float bound);

/// How far logits are off other ones, root mean square of a token over their standard deviation.
struct Distance {
  double typical = 0;  ///< the median of all tokens
  double worst = 0;
};
Distance DistanceOf(const Outcome& found, const Outcome& exact);

/// Expects that `found` is not much further off `exact` than `fair` is, which has numbers of as few
/// bits: half as far again, or for the token that is furthest off twice as far, of which nothing is
/// said unless `all_tokens`. And that most tokens are clearly the likeliest, and found to be.
void ExpectAsNear(const Outcome& found, const Outcome& fair, const Outcome& exact, bool all_tokens);

}  // namespace cairn::test
