// Adapter: a LoRA adapter in a GGUF file, added to weights while a model loads; and what it says
// about landmarks, if it was trained for them.
//
// For a tensor W [n_out, n_in] it holds A [r, n_in] as NAME.lora_a and B [n_out, r] as NAME.lora_b,
// and adds user_scale * alpha / r * B A (user_scale alone if alpha is 0). The factors of the token
// embedding come transposed in such files; AddTo knows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/gguf.h"

namespace cairn {

/// How a model was trained to use landmark tokens (metadata cairn.landmark.*).
struct LandmarkInfo {
  int regular_tokens = 0;        ///< m, regular tokens per block; a block has m + 1 rows
  bool in_loss = false;          ///< true: next-token logits are read from the landmark row
  std::string selection;         ///< selection mode in training, e.g. "per_chunk"
  int trained_context = 0;       ///< longest attention span in training, in rows
  std::vector<float> embedding;  ///< input embedding of the landmark token [n_embd]
};

/// The part of one tensor: scale · B A.
struct LoraFactors {
  int64_t rank = 0;
  float scale = 1.0f;
  std::vector<float> a;  ///< [rank, n_in]
  std::vector<float> b;  ///< [n_out, rank]
};

/// Move-only and immutable: any thread may use it.
class Adapter {
 public:
  /// kInvalidArgument if the file is no LoRA adapter or `user_scale` is not finite; kUnsupported
  /// for tensors of another kind; kCorruption if factors are missing or do not fit together.
  static Result<Adapter> Open(const std::string& path, double user_scale = 1.0);

  /// Adds the adapter's part to weights[n_out, n_in], row-major, if it has one for `tensor_name`;
  /// kMismatch naming the tensor if the shapes differ. Runs on all threads of ParallelRanges.
  Status AddTo(std::string_view tensor_name, float* weights, int64_t n_out, int64_t n_in) const;
  /// That part in its factors, or nothing; errors as of AddTo.
  Result<std::optional<LoraFactors>> Factors(std::string_view tensor_name, int64_t n_out,
                                             int64_t n_in) const;
  bool Has(std::string_view tensor_name) const;

  /// Every tensor the adapter changes is in `base` with that shape, and so is the width of the
  /// landmark embedding; kMismatch naming the first that is not.
  Status CheckTargets(const GgufFile& base) const;

  const std::optional<LandmarkInfo>& landmark() const { return landmark_; }
  /// Names of the tensors the adapter changes, in file order.
  const std::vector<std::string>& targets() const { return targets_; }
  const std::string& path() const { return file_.path(); }
  double user_scale() const { return user_scale_; }
  /// 32 hexadecimal digits over the file's fingerprint and user_scale.
  std::string Fingerprint() const { return FingerprintAt(user_scale_); }
  /// What Fingerprint would be with another user_scale: tells a changed file from a changed scale.
  std::string FingerprintAt(double user_scale) const;

 private:
  explicit Adapter(GgufFile file) : file_(std::move(file)) {}
  Status ReadTargets();
  Status ReadLandmark();

  GgufFile file_;
  double user_scale_ = 1.0;
  float alpha_ = 0.0f;
  std::vector<std::string> targets_;
  std::optional<LandmarkInfo> landmark_;
};

}  // namespace cairn
