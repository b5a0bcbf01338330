// Kernels that CUDA's compiler built: that they link, and what they say where no GPU is. What they
// compute is tested on a CPU (attention_test.cc and others here).
#include <gtest/gtest.h>

#include <filesystem>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/blocks.h"
#include "kernels/cuda/chunk_codes.h"
#include "kernels/cuda/fold.h"
#include "kernels/cuda/scan.h"
#include "kernels/cuda/score.h"
#include "kernels/cuda/transformer.h"

namespace cairn {
namespace {

TEST(CudaLink, WithoutADeviceALaunchIsAnErrorInCudasWords) {
  if (std::filesystem::exists("/dev/nvidiactl")) {
    GTEST_SKIP() << "this machine has a GPU, and these calls point to nothing";
  }
  cuda::AttendParams params;
  params.rows = 1;
  FoldParams fold;
  fold.rows = 1;
  ScanParams scan;
  scan.queries = {.dim = 64, .rows = 1};
  scan.plain = {.dim = 64, .padded_dim = 64, .vectors = 1};
  const BlockShape codes = {64, 64, DType::kQ8};
  const Status all[] = {
      cuda::AttendDecode(params, {}, nullptr),
      cuda::AttendPrefill(params, nullptr),
      cuda::AppendRows(params.shape, {nullptr, 64}, {}, nullptr, 1, nullptr, nullptr, 0, nullptr),
      cuda::LandmarkKeys(params.shape, 1, nullptr, nullptr, nullptr),
      cuda::SealBlocks(codes, 1, nullptr, nullptr, nullptr),
      cuda::GatherBlocks(1, 16, nullptr, nullptr, nullptr),
      cuda::FoldScores(fold, nullptr, nullptr),
      cuda::ScanLandmarks(scan, nullptr, nullptr, nullptr, nullptr),
      cuda::RmsNorm(nullptr, nullptr, 0, 1, 1, DType::kF32, nullptr, nullptr),
      cuda::AddRows(nullptr, nullptr, 1, nullptr, nullptr),
      cuda::SwiGlu(nullptr, 1, 1, DType::kF32, nullptr, nullptr),
      cuda::ConvertFloats(nullptr, 1, DType::kF32, nullptr, nullptr),
      cuda::Greedy(nullptr, 1, 1, nullptr, nullptr),
      cuda::ScoreVectors({.rows = 1, .dim = 64, .padded_dim = 64, .vectors = 1}, nullptr),
      cuda::CodeChunk({.vectors = 1, .dim = 64, .padded_dim = 64}, nullptr),
      cuda::ScoreCodes({.rows = 1, .dim = 64, .chunk_vectors = 1, .vectors = 1}, nullptr)};
  for (const Status& status : all) {
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, Errc::kIo);
    EXPECT_NE(status.error().message.find("failed on the CUDA device: "), std::string::npos)
        << status.error().message;
  }
}

}  // namespace
}  // namespace cairn
