// The one table of tolerances: how far a result may lie from its exact value, by element type.
#pragma once

#include "base/check.h"
#include "base/dtype.h"

namespace cairn {

struct Tolerance {
  float kernel;   ///< two f32 computations on the same stored numbers; inputs of order 1
  float storage;  ///< against numbers that were never rounded to the type
};

inline Tolerance ToleranceOf(DType type) {
  switch (type) {
    case DType::kF32:
      return {1e-5f, 1e-5f};
    case DType::kF16:
      return {1e-5f, 4e-3f};
    case DType::kBF16:
      return {1e-5f, 3e-2f};
    case DType::kQ8:
      return {1e-5f, 5e-2f};
  }
  CAIRN_CHECK(false);
}

}  // namespace cairn
