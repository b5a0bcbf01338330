// The cuBLASLt that is installed here: that it is found, and takes what it is told. That needs no
// GPU; choosing an algorithm does.
#include "base/cublas_lt.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "base/cublas_product.h"

namespace cairn {
namespace {

TEST(CublasLtLibrary, WithoutOneItIsNamedWithTheRemedy) {
  const char* const names[] = {"libcublasLt.so.of-nobody", "/nonexistent/libcublasLt.so.13"};
  const auto lt = OpenCublasLt(names);
  ASSERT_FALSE(lt);
  EXPECT_EQ(lt.error().code, Errc::kUnsupported);
  for (const char* part :
       {"libcublasLt.so.of-nobody", "install libcublas of CUDA", "--device cpu"}) {
    EXPECT_NE(lt.error().message.find(part), std::string::npos) << lt.error().message;
  }
}

TEST(CublasLtLibrary, AnotherLibraryIsRefused) {
  const char* const names[] = {"/nonexistent/libcublasLt.so.13", "libm.so.6"};
  const auto lt = OpenCublasLt(names);
  ASSERT_FALSE(lt);
  EXPECT_EQ(lt.error().code, Errc::kUnsupported);
  EXPECT_NE(lt.error().message.find("no function cublasLtGetVersion"), std::string::npos)
      << lt.error().message;
}

class InstalledCublasLt : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto lt = LoadCublasLt();
    if (!lt) GTEST_SKIP() << lt.error().message;
    lt_ = lt.value();
    Dl_info place;
    ASSERT_NE(dladdr(reinterpret_cast<void*>(lt_->version), &place), 0);
    library_ = dlopen(place.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    ASSERT_NE(library_, nullptr);
  }
  void TearDown() override {
    if (library_ != nullptr) dlclose(library_);
  }
  template <class Function>
  Function* Find(const char* name, Function*) {
    return reinterpret_cast<Function*>(dlsym(library_, name));
  }
  template <class T>
  T Of(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute) {
    T value = {};
    size_t written = 0;
    const auto get = Find("cublasLtMatrixLayoutGetAttribute", &cublasLtMatrixLayoutGetAttribute);
    EXPECT_EQ(get(layout, attribute, &value, sizeof(T), &written), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(written, sizeof(T));
    return value;
  }
  int32_t Of(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute) {
    int32_t value = -1;
    size_t written = 0;
    const auto get = Find("cublasLtMatmulDescGetAttribute", &cublasLtMatmulDescGetAttribute);
    EXPECT_EQ(get(operation, attribute, &value, sizeof(value), &written), CUBLAS_STATUS_SUCCESS);
    return value;
  }
  void ExpectLayout(cublasLtMatrixLayout_t layout, cudaDataType type, uint64_t rows,
                    uint64_t columns) {
    EXPECT_EQ(Of<uint32_t>(layout, CUBLASLT_MATRIX_LAYOUT_TYPE), static_cast<uint32_t>(type));
    EXPECT_EQ(Of<int32_t>(layout, CUBLASLT_MATRIX_LAYOUT_ORDER), CUBLASLT_ORDER_COL);
    EXPECT_EQ(Of<uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS), rows);
    EXPECT_EQ(Of<uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS), columns);
    EXPECT_EQ(Of<int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD), static_cast<int64_t>(rows));
  }

  const CublasLt* lt_ = nullptr;
  void* library_ = nullptr;
};

TEST_F(InstalledCublasLt, HasEveryFunctionAndAVersionThatFits) {
  const size_t major = lt_->version() / 10000;
  EXPECT_TRUE(major == CUBLAS_VER_MAJOR || major == 12 || major == 13) << lt_->version();
  EXPECT_EQ(LoadCublasLt().value(), lt_);
  EXPECT_STREQ(lt_->status_string(CUBLAS_STATUS_ALLOC_FAILED), "the resource allocation failed");
}

TEST_F(InstalledCublasLt, TakesDescriptionsAsTheyAreMeant) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    const CublasProduct product = CublasProduct::Make(*lt_, type, 576, 64, 3).value();
    const cudaDataType input = type == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
    ExpectLayout(product.weights_layout(), input, 64, 576);
    ExpectLayout(product.x_layout(), input, 64, 3);
    ExpectLayout(product.y_layout(), CUDA_R_32F, 576, 3);
    EXPECT_EQ(Of(product.operation(), CUBLASLT_MATMUL_DESC_TRANSA), CUBLAS_OP_T);
    EXPECT_EQ(Of(product.operation(), CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_N);
    EXPECT_EQ(Of(product.operation(), CUBLASLT_MATMUL_DESC_COMPUTE_TYPE), CUBLAS_COMPUTE_32F);
    EXPECT_EQ(Of(product.operation(), CUBLASLT_MATMUL_DESC_SCALE_TYPE), CUDA_R_32F);
    EXPECT_EQ(Of(product.operation(), CUBLASLT_MATMUL_DESC_POINTER_MODE),
              CUBLASLT_POINTER_MODE_HOST);
  }
}

TEST_F(InstalledCublasLt, WithoutAHandleChoosingIsRefusedInItsWords) {
  CublasProduct product = CublasProduct::Make(*lt_, DType::kBF16, 64, 64, 1).value();
  const Status status = product.Choose(nullptr, size_t{32} << 20);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kIo);
  // Not of a preference that it does not know: then a parameter would be wrong.
  EXPECT_EQ(status.error().message,
            "cuBLASLt: choosing an algorithm: the library was not initialized");
}

TEST_F(InstalledCublasLt, IsOpenedWhereThereIsAGpu) {
  cublasLtHandle_t handle = nullptr;
  const Status status = lt_->Check("opening it", lt_->create(&handle));
  if (status) {
    EXPECT_EQ(lt_->destroy(handle), CUBLAS_STATUS_SUCCESS);
  } else {
    EXPECT_EQ(status.error().code, Errc::kIo);
    EXPECT_EQ(status.error().message, "cuBLASLt: opening it: the library was not initialized");
  }
}

}  // namespace
}  // namespace cairn
