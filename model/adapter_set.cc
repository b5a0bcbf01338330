#include "model/adapter_set.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace cairn {
namespace {

Status CheckPair(const Adapter& a, const Adapter& b) {
  if (a.FingerprintAt(1.0) == b.FingerprintAt(1.0)) {
    return Fail(Errc::kInvalidArgument,
                "'{}' and '{}' are the same adapter; give it once, with the sum of the scales",
                a.path(), b.path());
  }
  if (a.landmark().has_value() && b.landmark().has_value()) {
    return Fail(Errc::kInvalidArgument,
                "adapters '{}' and '{}' both carry landmarks, and a model has one kind of them; "
                "leave one out",
                a.path(), b.path());
  }
  return Ok();
}

}  // namespace

Result<AdapterSet> AdapterSet::Make(std::vector<Adapter> adapters) {
  for (size_t i = 0; i < adapters.size(); ++i) {
    for (size_t j = 0; j < i; ++j) CAIRN_TRY(CheckPair(adapters[j], adapters[i]));
  }
  std::vector<std::string> fingerprints;
  for (const Adapter& adapter : adapters) fingerprints.push_back(adapter.Fingerprint());
  AdapterSet set;
  set.merge_order_.resize(adapters.size());
  std::iota(set.merge_order_.begin(), set.merge_order_.end(), size_t{0});
  std::sort(set.merge_order_.begin(), set.merge_order_.end(),
            [&](size_t a, size_t b) { return fingerprints[a] < fingerprints[b]; });
  set.adapters_ = std::move(adapters);
  return set;
}

const LandmarkInfo* AdapterSet::landmark() const {
  for (const Adapter& adapter : adapters_) {
    if (adapter.landmark().has_value()) return &*adapter.landmark();
  }
  return nullptr;
}

Status AdapterSet::AddTo(std::string_view tensor_name, float* weights, int64_t n_out,
                         int64_t n_in) const {
  for (const size_t index : merge_order_) {
    CAIRN_TRY(adapters_[index].AddTo(tensor_name, weights, n_out, n_in));
  }
  return Ok();
}

Result<std::vector<LoraFactors>> AdapterSet::Factors(std::string_view tensor_name, int64_t n_out,
                                                     int64_t n_in) const {
  std::vector<LoraFactors> all;
  for (const size_t index : merge_order_) {
    CAIRN_TRY(auto factors, adapters_[index].Factors(tensor_name, n_out, n_in));
    if (factors.has_value()) all.push_back(std::move(*factors));
  }
  return all;
}

bool AdapterSet::Has(std::string_view tensor_name) const {
  return std::any_of(adapters_.begin(), adapters_.end(),
                     [&](const Adapter& adapter) { return adapter.Has(tensor_name); });
}

Status AdapterSet::CheckTargets(const GgufFile& base) const {
  for (const Adapter& adapter : adapters_) CAIRN_TRY(adapter.CheckTargets(base));
  return Ok();
}

}  // namespace cairn
