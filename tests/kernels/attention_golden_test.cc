// The dense run of the golden vectors, which were computed by the method's authors' code and an
// independent float64 oracle.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/append.h"
#include "tests/kernels/attention_case.h"

namespace cairn {
namespace {

constexpr int32_t kDim = 4;
constexpr int32_t kBlockRows = 4;

class GoldenTest : public testing::Test {
 protected:
  GoldenTest() : rope_(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(10000.0, kDim)) {
    std::ifstream file(CAIRN_TEST_DATA "/golden.json");
    golden_ = nlohmann::json::parse(file);
    rows_ = golden_["T"].get<int32_t>();
    rope_.Reserve(rows_);
    const BlockShape shape{kBlockRows, kDim, DType::kF32};
    payloads_.resize(static_cast<size_t>((rows_ + kBlockRows - 1) / kBlockRows));
    for (auto& payload : payloads_) payload.resize(shape.payload_bytes(), std::byte{0xff});
    for (int32_t i = 0; i < rows_; ++i) {
      float k[kDim];
      float v[kDim];
      for (int32_t c = 0; c < kDim; ++c) {
        queries_.push_back(static_cast<float>(1.5 * std::sin(0.7 * i + 1.3 * c + 0.1)));
        k[c] = static_cast<float>(1.5 * std::cos(1.1 * i - 0.9 * c + 0.3));
        v[c] = static_cast<float>(std::sin(0.37 * i * (c + 1) + 0.5));
      }
      positions_.push_back(i);
      AppendRows(shape, rope_, i % kBlockRows, 1, k, v, kDim,
                 payloads_[static_cast<size_t>(i / kBlockRows)].data());
    }
    for (size_t b = 0; b < payloads_.size(); ++b) {
      const int32_t position = static_cast<int32_t>(b) * kBlockRows;
      blocks_.push_back({payloads_[b].data(), position, std::min(kBlockRows, rows_ - position)});
    }
  }

  // Rows [first, first + count), by the function given.
  std::vector<float> Run(void (*attend)(const AttendParams&), int32_t first, int32_t count) {
    std::vector<float> o(static_cast<size_t>(count * kDim));
    std::vector<float> lse(static_cast<size_t>(count));
    AttendParams params;
    params.shape = {kBlockRows, kDim, DType::kF32};
    params.mode = SoftmaxMode::kGrouped;
    params.scale = 0.5f;
    params.rope = &rope_;
    params.rows = count;
    params.q = queries_.data() + first * kDim;
    params.q_row_stride = kDim;
    params.q_positions = positions_.data() + first;
    params.blocks = blocks_;
    params.o = o.data();
    params.o_row_stride = kDim;
    params.lse = lse.data();
    attend(params);
    return o;
  }

  void Expect(const std::vector<float>& o, int32_t first) {
    for (size_t i = 0; i < o.size(); ++i) {
      const size_t row = static_cast<size_t>(first) + i / kDim;
      EXPECT_NEAR(o[i], golden_["dense"][row][i % kDim].get<double>(), 1e-5)
          << "row " << row << " channel " << i % kDim;
    }
  }

  nlohmann::json golden_;
  int32_t rows_ = 0;
  RopeTable rope_;
  std::vector<float> queries_;
  std::vector<int32_t> positions_;
  std::vector<std::vector<std::byte>> payloads_;
  std::vector<BlockRef> blocks_;
};

TEST_F(GoldenTest, Reference) {
  ASSERT_EQ(golden_["dense"].size(), static_cast<size_t>(rows_));
  Expect(Run(AttendReference, 0, rows_), 0);
}

TEST_F(GoldenTest, AllRowsAtOnce) { Expect(Run(CallAttend, 0, rows_), 0); }

TEST_F(GoldenTest, RowByRow) {
  for (int32_t i = 0; i < rows_; ++i) Expect(Run(CallAttend, i, 1), i);
}

}  // namespace
}  // namespace cairn
