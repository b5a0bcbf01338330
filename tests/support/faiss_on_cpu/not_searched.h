// Takes the place of FAISS's header for distances other than inner products, which cairn does not
// ask for.
#pragma once

#include <faiss/MetricType.h>

#include <cstdlib>
#include <faiss/gpu/impl/DistanceUtils.cuh>
#include <faiss/gpu/utils/DeviceTensor.cuh>

namespace faiss::gpu {

template <class... Arguments>
void runGeneralDistanceKernel(Arguments&&...) {
  std::abort();
}
template <class... Arguments>
void runGeneralDistance(Arguments&&...) {
  std::abort();
}

}  // namespace faiss::gpu
