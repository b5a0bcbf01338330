// QuantLinear: a product with weights as a model file has them, codes of 4 or 8 bits, and the parts
// of LoRA adapters beside them in their factors: y = W·x + B·(A·x). Made for one or a few rows,
// where a product takes as long as its weights take to be read.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "model/adapter.h"
#include "model/gguf.h"
#include "model/linear.h"

namespace cairn {

/// One tensor of a product, [rows, k]; products of several stand one after the other in y.
struct QuantSource {
  const GgufTensor* tensor = nullptr;
  std::vector<LoraFactors> factors;
};

/// Bytes that MakeQuantLinear needs; 0 if a tensor is not made of codes, or rank or width do not
/// suit it, and there can be none.
size_t QuantLinearBytes(const std::vector<QuantSource>& sources);

/// `memory` has QuantLinearBytes, all zero and aligned to 64 bytes, and must outlive the product;
/// tensors and factors may go after. Codes are exact; scales are rounded to f16 where the type has
/// them finer (K types), factors where they are not f16. Uses all cores.
/// REQUIRES: QuantLinearBytes(sources) > 0.
std::unique_ptr<Linear> MakeQuantLinear(const std::vector<QuantSource>& sources, std::byte* memory);

}  // namespace cairn
