// A Llama on a device with random weights: what a model of its shape costs, without a file.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "model/device_llama.h"

namespace cairn {

/// Normally distributed numbers, a million that are handed out from another place each time.
class RandomFloats {
 public:
  explicit RandomFloats(uint64_t seed);
  /// `values` become random, of standard deviation `scale`.
  void Fill(float scale, std::span<float> values);

 private:
  std::mt19937_64 random_;
  std::vector<float> numbers_;
};

/// Of `config`, which must outlive it, multiplied in bf16. Weights are such that rows keep their
/// size from layer to layer. kInterrupted if `stop`, asked now and then with a line about progress,
/// says so; kResource if the weights do not fit.
Result<std::unique_ptr<DeviceLlama>> MakeRandomLlama(int32_t device, const LlamaConfig& config,
                                                     RandomFloats& random,
                                                     FunctionRef<bool(const std::string&)> stop);

}  // namespace cairn
