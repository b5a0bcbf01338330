// AdapterSet: the LoRA adapters that are merged into one model, each with its scale. A weight is
// the model's own plus the sum of all adapters' parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/adapter.h"

namespace cairn {

/// Move-only and immutable: any thread may use it.
class AdapterSet {
 public:
  /// No adapters.
  AdapterSet() = default;
  /// kInvalidArgument naming both if two are the same file, or if two carry landmarks.
  static Result<AdapterSet> Make(std::vector<Adapter> adapters);

  /// As they were given.
  const std::vector<Adapter>& adapters() const { return adapters_; }
  /// What the one with landmarks says of them; null if there is none.
  const LandmarkInfo* landmark() const;

  /// Adds all parts to weights[n_out, n_in], in an order that does not depend on how the adapters
  /// were given: sums of floats do depend on it. Errors are Adapter::AddTo's.
  Status AddTo(std::string_view tensor_name, float* weights, int64_t n_out, int64_t n_in) const;
  /// The parts in their factors, in that order.
  Result<std::vector<LoraFactors>> Factors(std::string_view tensor_name, int64_t n_out,
                                           int64_t n_in) const;
  /// Whether any of them changes the tensor.
  bool Has(std::string_view tensor_name) const;
  /// Adapter::CheckTargets of each.
  Status CheckTargets(const GgufFile& base) const;

 private:
  std::vector<Adapter> adapters_;
  std::vector<size_t> merge_order_;  // by fingerprint
};

}  // namespace cairn
