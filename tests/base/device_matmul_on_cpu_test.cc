// What products ask of cuBLASLt, and what they say when it fails; and that the stand-in for it
// finds what it is there to find.
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <utility>

#include "base/device_matmul.h"
#include "tests/base/device_product.h"
#include "tests/support/cuda_on_cpu/cublasLt.h"

namespace cairn {
namespace {

using cuda_on_cpu::CountCublas;

TEST(DeviceMatmulOnCpu, AnAlgorithmIsAskedForOncePerShape) {
  const auto device = Device::Open(0).value();
  DeviceMatmul matmul = DeviceMatmul::Open(*device).value();
  DeviceProduct one(*device, DType::kBF16, 16, 8, 3, 1),
      more_rows(*device, DType::kBF16, 16, 8, 4, 1), f32(*device, DType::kF32, 16, 8, 3, 1),
      turned(*device, DType::kF32, 8, 16, 3, 1);
  const cuda_on_cpu::CublasCounts before = CountCublas();
  for (int i = 0; i < 3; ++i) {
    for (DeviceProduct* product : {&one, &more_rows, &f32, &turned}) {
      ASSERT_TRUE(product->Multiply(matmul));
      EXPECT_LE(product->WorstError(product->Result()), 1e-6);
    }
  }
  EXPECT_EQ(CountCublas().heuristics - before.heuristics, 4u);
  EXPECT_EQ(CountCublas().products - before.products, 12u);
}

TEST(DeviceMatmulOnCpu, AProductIsPutOnItsStream) {
  const auto device = Device::Open(0).value();
  DeviceMatmul matmul = DeviceMatmul::Open(*device).value();
  const cuda_on_cpu::RuntimeCounts before = cuda_on_cpu::Counts();
  DeviceProduct product(*device, DType::kF32, 5, 3, 2, 1);
  const cuda_on_cpu::RuntimeCounts made = cuda_on_cpu::Counts();
  ASSERT_TRUE(product.Multiply(matmul));
  EXPECT_EQ(cuda_on_cpu::Counts().launches - made.launches, 1u);
  EXPECT_EQ(cuda_on_cpu::Counts().waits, made.waits);
  EXPECT_EQ(cuda_on_cpu::Counts().copies, made.copies);
  EXPECT_GT(made.waits, before.waits);
}

TEST(DeviceMatmulOnCpu, ThatOtherProductsUsedTheWorkspaceDoesNotShow) {
  const auto device = Device::Open(0).value();
  DeviceMatmul matmul = DeviceMatmul::Open(*device).value();
  DeviceMatmul moved = std::move(matmul);
  DeviceProduct a(*device, DType::kBF16, 64, 64, 5, 1), b(*device, DType::kF32, 30, 20, 7, 2);
  for (DeviceProduct* one : {&a, &b, &a}) {  // each on a stream of its own
    ASSERT_TRUE(one->Multiply(moved));
    ASSERT_TRUE(one->Wait());
  }
  EXPECT_LE(a.WorstError(a.Result()), 1e-6);
  EXPECT_LE(b.WorstError(b.Result()), 1e-6);
}

TEST(DeviceMatmulOnCpu, WhicheverCallFailsIsReportedAndNothingIsLeft) {
  const auto device = Device::Open(0).value();
  DeviceProduct product(*device, DType::kBF16, 16, 8, 3, 1);
  const size_t left = cuda_on_cpu::Leftovers();
  const size_t left_of_cublas = CountCublas().left;
  int failures = 0;
  for (bool due = true; due; ++failures) {
    cuda_on_cpu::FailCall(failures + 1);
    const Status status = [&]() -> Status {
      CAIRN_TRY(DeviceMatmul matmul, DeviceMatmul::Open(*device));
      CAIRN_TRY(product.Multiply(matmul));
      return product.Wait();
    }();
    due = !cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    EXPECT_EQ(status.has_value(), !due) << failures;
    if (due) {
      EXPECT_TRUE(status.error().code == Errc::kIo || status.error().code == Errc::kResource);
      EXPECT_TRUE(status.error().message.find("cuBLASLt: ") == 0 ||
                  status.error().message.find("CUDA: ") == 0)
          << status.error().message;
    }
    EXPECT_EQ(cuda_on_cpu::Leftovers(), left) << failures;
    EXPECT_EQ(CountCublas().left, left_of_cublas) << failures;
  }
  // Memory, the handle, five descriptions, the algorithm, the launch and the wait.
  EXPECT_EQ(failures, 11);
}

TEST(DeviceMatmulOnCpu, AfterAFailureTheNextProductIsRight) {
  const auto device = Device::Open(0).value();
  constexpr int kCallsOfTheFirst = 7;  // descriptions, the algorithm, the launch
  for (int call = 1; call <= kCallsOfTheFirst; ++call) {
    DeviceMatmul matmul = DeviceMatmul::Open(*device).value();
    DeviceProduct product(*device, DType::kBF16, 16, 8, 3, 1);
    cuda_on_cpu::FailCall(call);
    EXPECT_FALSE(product.Multiply(matmul)) << call;
    ASSERT_TRUE(product.Multiply(matmul));
    EXPECT_LE(product.WorstError(product.Result()), 1e-6);
  }
}

TEST(DeviceMatmulOnCpu, WithoutMemoryForItsWorkspaceItSaysWhatIsFree) {
  const auto device = Device::Open(0).value();
  cuda_on_cpu::SetMemory(16 << 20);
  const auto matmul = DeviceMatmul::Open(*device);
  cuda_on_cpu::SetMemory(size_t{64} << 20);
  ASSERT_FALSE(matmul.has_value());
  EXPECT_EQ(matmul.error().code, Errc::kResource);
  EXPECT_NE(matmul.error().message.find("16.0 MiB free and 32.0 MiB"), std::string::npos)
      << matmul.error().message;
}

TEST(DeviceMatmulOnCpu, MemoryThatIsNotAlignedIsAMistake) {
  const auto device = Device::Open(0).value();
  DeviceMatmul matmul = DeviceMatmul::Open(*device).value();
  DeviceStream stream = device->MakeStream().value();
  const DeviceBuffer memory = device->Allocate(4096).value();
  std::byte* const good = memory.data();
  for (const int wrong : {0, 1, 2}) {
    EXPECT_DEATH((void)matmul.Multiply(
                     DType::kF32, good + (wrong == 0 ? 4 : 0), 4, 4, good + (wrong == 1 ? 8 : 0), 1,
                     reinterpret_cast<float*>(good + (wrong == 2 ? 4 : 0)), stream),
                 "IsAligned");
  }
}

TEST(DeviceMatmulOnCpu, ProductsStayWithinTheirMemory) {
  const auto device = Device::Open(0).value();
  DeviceMatmul matmul = DeviceMatmul::Open(*device).value();
  DeviceStream stream = device->MakeStream().value();
  const DeviceBuffer small = device->Allocate(32 * 15).value();
  const DeviceBuffer enough = device->Allocate(32 * 16).value();
  const auto multiply = [&](const DeviceBuffer& weights, const DeviceBuffer& x,
                            const DeviceBuffer& y) {
    return matmul.Multiply(DType::kBF16, weights.data(), 16, 16, x.data(), 8,
                           reinterpret_cast<float*>(y.data()), stream);
  };
  EXPECT_TRUE(multiply(enough, enough, enough));
  for (const Status& status : {multiply(small, enough, enough), multiply(enough, enough, small)}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kIo);
    EXPECT_EQ(
        status.error().message,
        "cuBLASLt: multiplying: an unsupported value or parameter was passed to the function");
  }
}

// Descriptions of a product of 2 x 3 by 3 x 4 that are right, to spoil one at a time.
struct Described {
  cublasLtHandle_t handle = nullptr;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType a_type = CUDA_R_32F, d_type = CUDA_R_32F;
  uint64_t a_rows = 3, a_columns = 2, d_columns = 4;
  int64_t a_leading = 3, b_leading = 3, d_leading = 2;
  int32_t transposed = CUBLAS_OP_T;
  uint64_t workspace_bytes = 1 << 20;

  cublasStatus_t Ask() const {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulDescCreate(&operation, compute, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, 4);
    cublasLtMatrixLayoutCreate(&a, a_type, a_rows, a_columns, a_leading);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_32F, 3, 4, b_leading);
    cublasLtMatrixLayoutCreate(&d, d_type, 2, d_columns, d_leading);
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &workspace_bytes, sizeof(workspace_bytes));
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation, a, b, d, d,
                                                                 preference, 1, &result, &found);
    cublasLtMatmulDescDestroy(operation);
    for (const auto layout : {a, b, d}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulPreferenceDestroy(preference);
    return status;
  }
};

TEST(CublasLtOnCpu, WhatDoesNotFitIsRefused) {
  cublasLtHandle_t handle;
  ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  Described right;
  right.handle = handle;
  EXPECT_EQ(right.Ask(), CUBLAS_STATUS_SUCCESS);
  using Spoil = std::function<void(Described&)>;
  const std::pair<Spoil, cublasStatus_t> cases[] = {
      {[](Described& d) { d.handle = nullptr; }, CUBLAS_STATUS_NOT_INITIALIZED},
      {[](Described& d) { d.transposed = CUBLAS_OP_N; }, CUBLAS_STATUS_INVALID_VALUE},
      {[](Described& d) { std::swap(d.a_rows, d.a_columns); }, CUBLAS_STATUS_INVALID_VALUE},
      {[](Described& d) { d.a_leading = 2; }, CUBLAS_STATUS_INVALID_VALUE},
      {[](Described& d) { d.b_leading = 2; }, CUBLAS_STATUS_INVALID_VALUE},
      {[](Described& d) { d.d_leading = 1; }, CUBLAS_STATUS_INVALID_VALUE},
      {[](Described& d) { d.d_columns = 3; }, CUBLAS_STATUS_INVALID_VALUE},
      {[](Described& d) { d.a_type = CUDA_R_16BF; }, CUBLAS_STATUS_NOT_SUPPORTED},
      {[](Described& d) { d.d_type = CUDA_R_16BF; }, CUBLAS_STATUS_NOT_SUPPORTED},
      {[](Described& d) { d.compute = CUBLAS_COMPUTE_32F_FAST_TF32; }, CUBLAS_STATUS_NOT_SUPPORTED},
      {[](Described& d) { d.workspace_bytes = 0; }, CUBLAS_STATUS_NOT_SUPPORTED}};
  for (const auto& [spoil, expected] : cases) {
    Described wrong = right;
    spoil(wrong);
    EXPECT_EQ(wrong.Ask(), expected) << &spoil - &cases[0].first;
  }
  EXPECT_EQ(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtDestroy(handle), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(CublasLtOnCpu, AttributesOfTheWrongSizeAreRefused) {
  cublasLtMatmulDesc_t operation;
  ASSERT_EQ(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
            CUBLAS_STATUS_SUCCESS);
  const int64_t wide = 1;
  EXPECT_EQ(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &wide, 8),
            CUBLAS_STATUS_INVALID_VALUE);
  cublasLtMatmulDescDestroy(operation);
}

}  // namespace
}  // namespace cairn
