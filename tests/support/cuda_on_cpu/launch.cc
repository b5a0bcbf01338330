#include <map>

#include "tests/support/cuda_on_cpu/cuda_runtime.h"

namespace cairn::cuda_on_cpu {

size_t& SharedLimit(const void* kernel) {
  static std::map<const void*, size_t> limits;
  return limits.try_emplace(kernel, kSharedBytes).first->second;
}

bool IsLaunchable(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const size_t blocks = size_t{grid.x} * grid.y * grid.z;
  const size_t threads = size_t{block.x} * block.y * block.z;
  return blocks > 0 && grid.x <= 0x7fffffffu && grid.y <= 0xffffu && grid.z <= 0xffffu &&
         threads > 0 && threads <= 1024 && block.z <= 64 &&
         config.dynamicSmemBytes <= SharedLimit(kernel);
}

}  // namespace cairn::cuda_on_cpu
