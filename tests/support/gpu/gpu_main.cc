// main of test programs for a real GPU: without one they say so, and count as skipped.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "base/device.h"
#include "base/device_matmul.h"
#include "index/faiss_gpu.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#ifdef CAIRN_TEST_OF_KERNELS
#include "tests/support/gpu/cuda_managed.h"
#endif

namespace cairn::cuda_on_cpu {

// Of a GPU nobody chooses the order.
void SetOrderSeed(uint64_t) {}

}  // namespace cairn::cuda_on_cpu

namespace {

// What the tests at hand need of this machine.
cairn::Status Usable() {
  CAIRN_TRY([[maybe_unused]] const auto device, cairn::Device::Open(0));
#ifdef CAIRN_TEST_OF_FAISS
  CAIRN_TRY(cairn::CheckFaissGpu());
#endif
#ifdef CAIRN_TEST_OF_MODELS
  CAIRN_TRY(cairn::DeviceMatmul::Open(*device));
#endif
  return cairn::Ok();
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
#ifdef CAIRN_TEST_OF_KERNELS
  // They look at results as soon as a launch returns.
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
#endif
  testing::InitGoogleTest(&argc, argv);
  if (const cairn::Status usable = Usable();
      !testing::GTEST_FLAG(list_tests) && !usable.has_value()) {
    std::printf("skipped: %s%s\n", cairn::Device::Count() == 0 ? "no GPU here: " : "",
                usable.error().message.c_str());
    return kSkipped;
  }
#ifdef CAIRN_TEST_OF_KERNELS
  if (!testing::GTEST_FLAG(list_tests)) cairn::UseManagedMemory();
#endif
  const int code = RUN_ALL_TESTS();
  std::fflush(nullptr);
  std::_Exit(code);  // statics would give back memory when CUDA has ended
}
