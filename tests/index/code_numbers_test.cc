// Numbers to codes and back, against plain loops in double.
#include "index/code_numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

struct Dimensions {
  std::vector<float> centre, step, inverse;

  Dimensions(int64_t dim, TestRandom& random) {
    centre = random.Normals(static_cast<size_t>(dim), 3.0f);
    for (int64_t d = 0; d < dim; ++d) {
      step.push_back(std::ldexp(1.0f, static_cast<int>(random.Int(-6, 0))));
      inverse.push_back(1.0f / step.back());
    }
  }
  CodeSteps steps() const {
    return {centre.data(), step.data(), inverse.data(), static_cast<int64_t>(centre.size())};
  }
};

TEST(CodeNumbers, WithinHalfAStep) {
  for (const int64_t dim : {1, 7, 16, 37, 64, 128}) {
    TestRandom random(static_cast<uint64_t>(dim));
    const Dimensions of(dim, random);
    const std::vector<float> vector = random.Normals(static_cast<size_t>(dim), 5.0f);
    double least = 0;
    for (size_t d = 0; d < vector.size(); ++d) {
      least = std::max(least, std::fabs(double{vector[d]} - of.centre[d]) / of.step[d] / 127);
    }
    const float scale = LeastScale(vector.data(), of.steps());
    EXPECT_NEAR(scale, least, 1e-6 * least);
    std::vector<uint8_t> codes(vector.size());
    std::vector<float> read(vector.size());
    EncodeNumbers(vector.data(), scale, of.steps(), codes.data());
    DecodeNumbers(codes.data(), scale, of.steps(), read.data());
    int farthest = 0;
    for (size_t d = 0; d < vector.size(); ++d) {
      farthest = std::max(farthest, std::abs(codes[d] - 128));
      const double said = of.centre[d] + double{scale} * of.step[d] * (codes[d] - 128);
      EXPECT_NEAR(read[d], said, 1e-5 * (1 + std::fabs(said)));
      EXPECT_NEAR(read[d], vector[d], 0.501 * double{scale} * of.step[d] + 1e-5) << dim << " " << d;
    }
    EXPECT_EQ(farthest, 127);
  }
}

TEST(CodeNumbers, NothingAndExtremes) {
  const std::vector<float> centre(20, 1.5f), ones(20, 1.0f);
  const CodeSteps steps{centre.data(), ones.data(), ones.data(), 20};
  EXPECT_EQ(LeastScale(centre.data(), steps), 0.0f);
  std::vector<uint8_t> codes(20, 7);
  EncodeNumbers(centre.data(), 0.0f, steps, codes.data());
  EXPECT_EQ(codes, std::vector<uint8_t>(20, 128));
  std::vector<float> vector = centre;
  vector[3] = 3e38f;
  vector[19] = -3e38f;
  const float scale = LeastScale(vector.data(), steps);
  EXPECT_TRUE(std::isfinite(scale));
  EncodeNumbers(vector.data(), scale, steps, codes.data());
  DecodeNumbers(codes.data(), scale, steps, vector.data());
  EXPECT_NEAR(vector[3] / 3e38f, 1.0f, 0.01f);
  EXPECT_NEAR(vector[19] / -3e38f, 1.0f, 0.01f);
  EXPECT_EQ(vector[0], 1.5f);
}

TEST(CodeNumbers, NearestIsTheFirstOfTheLeast) {
  TestRandom random(3);
  for (const int64_t count : {1, 2, 15, 16, 17, 33, 200}) {
    for (int turn = 0; turn < 20; ++turn) {
      std::vector<float> squares, products;
      std::vector<double> distances;
      for (int64_t i = 0; i < count; ++i) {  // few different ones: many are equal
        squares.push_back(static_cast<float>(random.Int(0, 6)));
        products.push_back(static_cast<float>(random.Int(-2, 2)));
        distances.push_back(double{squares.back()} - 2 * double{products.back()});
      }
      const auto least = std::min_element(distances.begin(), distances.end());
      EXPECT_EQ(NearestOf(squares.data(), products.data(), count), least - distances.begin());
    }
  }
}

}  // namespace
}  // namespace cairn
