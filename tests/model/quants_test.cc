// Dequantize against values from the reference implementation (tests/data/dequant.json).
#include "model/quants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cairn {
namespace {

std::vector<std::byte> FromHex(const std::string& hex) {
  std::vector<std::byte> bytes(hex.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  }
  return bytes;
}

TEST(QuantsTest, AgreesWithTheReference) {
  std::ifstream file(CAIRN_TEST_DATA "/dequant.json");
  ASSERT_TRUE(file) << "tests/data/dequant.json is missing";
  const nlohmann::json data = nlohmann::json::parse(file);
  int types = 0;
  for (const auto& [name, entry] : data["types"].items()) {
    SCOPED_TRACE(name);
    const auto type = GgmlTypeFromNumber(entry["ggml_type"].get<uint32_t>());
    ASSERT_TRUE(type.has_value());
    EXPECT_EQ(GgmlTypeName(*type), name);
    EXPECT_TRUE(CanDequantize(*type));
    EXPECT_EQ(GgmlBlockOf(*type).values, entry["block_values"].get<uint32_t>());
    EXPECT_EQ(GgmlBlockOf(*type).bytes, entry["block_bytes"].get<uint32_t>());
    const std::vector<std::byte> bytes = FromHex(entry["hex"].get<std::string>());
    const auto expected = entry["values"].get<std::vector<double>>();
    std::vector<float> values(expected.size());
    ASSERT_TRUE(
        Dequantize(*type, bytes.data(), static_cast<int64_t>(values.size()), values.data()));
    const size_t block = entry["block_values"].get<size_t>();
    for (size_t begin = 0; begin < values.size(); begin += block) {
      // Products and sums may be fused on some machines, which shifts them by a rounding.
      double largest = 0;
      for (size_t i = begin; i < begin + block; ++i) {
        largest = std::max(largest, std::abs(expected[i]));
      }
      for (size_t i = begin; i < begin + block; ++i) {
        EXPECT_NEAR(values[i], expected[i], 2e-7 * largest) << "value " << i;
      }
    }
    ++types;
  }
  EXPECT_EQ(types, 11);
}

// Dequantize is what ReadCodes says, and codes stay within the bits that CodeBits promises.
TEST(QuantsTest, CodesAreTheNumbers) {
  std::ifstream file(CAIRN_TEST_DATA "/dequant.json");
  const nlohmann::json data = nlohmann::json::parse(file);
  int types = 0;
  for (const auto& [name, entry] : data["types"].items()) {
    SCOPED_TRACE(name);
    const GgmlType type = *GgmlTypeFromNumber(entry["ggml_type"].get<uint32_t>());
    if (CodeBits(type) == 0) continue;
    const std::vector<std::byte> bytes = FromHex(entry["hex"].get<std::string>());
    std::vector<float> values(entry["values"].size());
    ASSERT_TRUE(Dequantize(type, bytes.data(), std::ssize(values), values.data()));
    const GgmlBlock block = GgmlBlockOf(type);
    for (size_t i = 0; i < values.size(); ++i) {
      QuantCodes codes;
      ReadCodes(type, bytes.data() + i / block.values * block.bytes, &codes);
      const size_t at = i % block.values, group = at / static_cast<size_t>(codes.group);
      ASSERT_EQ(codes.codes[at] >> CodeBits(type), 0);
      const double expected = static_cast<double>(codes.scales[group]) *
                                  (static_cast<int>(codes.codes[at]) - codes.offset) +
                              codes.minimums[group];
      ASSERT_NEAR(values[i], expected,
                  1e-6 * std::abs(expected) + 1e-7 * std::abs(codes.scales[group]));
    }
    ++types;
  }
  EXPECT_EQ(types, 8);
}

TEST(QuantsTest, OtherTypesAreRefusedByName) {
  int refused = 0;
  std::vector<std::byte> block(512);
  std::vector<float> out(256);
  for (uint32_t number = 0; number < 100; ++number) {
    const std::optional<GgmlType> type = GgmlTypeFromNumber(number);
    if (!type) continue;
    EXPECT_NE(GgmlTypeName(*type), "?");
    if (CanDequantize(*type)) continue;
    const Status status = Dequantize(*type, block.data(), 256, out.data());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kUnsupported);
    EXPECT_NE(status.error().message.find(GgmlTypeName(*type)), std::string::npos);
    ++refused;
  }
  EXPECT_EQ(refused, 23);
  EXPECT_FALSE(GgmlTypeFromNumber(4).has_value());
  EXPECT_FALSE(GgmlTypeFromNumber(std::numeric_limits<uint32_t>::max()).has_value());
}

TEST(QuantsTest, OnlyWholeBlocks) {
  std::vector<std::byte> block(512);
  std::vector<float> out(256);
  EXPECT_TRUE(Dequantize(GgmlType::kQ4_K, block.data(), 256, out.data()));
  EXPECT_TRUE(Dequantize(GgmlType::kQ4_K, block.data(), 0, out.data()));
  const Status status = Dequantize(GgmlType::kQ4_K, block.data(), 32, out.data());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kInvalidArgument);
  EXPECT_NE(status.error().message.find("Q4_K"), std::string::npos);
  EXPECT_FALSE(Dequantize(GgmlType::kQ8_0, block.data(), -32, out.data()));
}

}  // namespace
}  // namespace cairn
