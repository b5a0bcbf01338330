// What of FAISS on GPUs this build has: that it links, and what it says where no GPU is.
#include <gtest/gtest.h>

#include "base/device.h"
#include "index/faiss_gpu.h"
#include "index/faiss_gpu_index.h"
#ifdef CAIRN_CUBLAS_AT_RUN_TIME
#include "index/cublas_at_run_time.h"
#endif

namespace cairn {
namespace {

TEST(FaissGpuBuild, SaysHowItIsBuilt) { EXPECT_EQ(FaissGpuKind(), CAIRN_TEST_FAISS_GPU); }

TEST(FaissGpuBuild, WithoutADeviceItIsAnErrorInWords) {
  if (Device::Count() > 0) GTEST_SKIP() << "this machine has a GPU: gpu_faiss_test";
  const Status status = CheckFaissGpu();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kUnsupported);
  const std::string& words = status.error().message;
  EXPECT_EQ(words.find(FaissGpuKind().empty() ? "this cairn was built without FAISS for GPUs"
                                              : "FAISS finds no GPU: "),
            0u)
      << words;
  EXPECT_NE(words.find("use --index auto, or --device cpu"), std::string::npos) << words;
}

#ifdef CAIRN_CUBLAS_AT_RUN_TIME
TEST(FaissGpuBuild, CublasIsLoadedOrSaidToBeMissing) {
  const std::string problem = CublasProblem();
  if (problem.empty()) return;
  EXPECT_NE(problem.find("libcublas.so."), std::string::npos) << problem;
  GTEST_SKIP() << problem;
}
#endif

}  // namespace
}  // namespace cairn
