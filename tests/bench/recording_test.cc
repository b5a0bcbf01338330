#include "bench/recording.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/bench/recording_maker.h"

namespace cairn {
namespace {

std::string PathOf(const char* name) {
  return (std::filesystem::path(testing::TempDir()) / name).string();
}

TEST(Recording, IsWhatWasSaved) {
  const Recording made = MakeRecording(100, 3, true);
  const std::string path = PathOf("cairn_recording");
  ASSERT_TRUE(made.Save(path).has_value());
  const Recording loaded = Recording::Load(path).value();
  EXPECT_EQ(loaded.rows, made.rows);
  EXPECT_EQ(loaded.layers, made.layers);
  EXPECT_EQ(loaded.text, made.text);
  EXPECT_EQ(loaded.shape.mode, made.shape.mode);
  EXPECT_EQ(loaded.shape.group(), 3);
  EXPECT_EQ(loaded.shape.inverse_frequencies, made.shape.inverse_frequencies);
  ASSERT_EQ(loaded.probes.size(), 1u);
  EXPECT_EQ(loaded.probes[0].first_row, 80);
  EXPECT_EQ(loaded.keys, made.keys);
  EXPECT_EQ(loaded.queries, made.queries);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_EQ(Recording::Load(path).error().code, Errc::kCorruption);
  std::ofstream(path) << "{\"magic\": \"something else\"}\n";
  EXPECT_EQ(Recording::Load(path).error().code, Errc::kCorruption);
  std::filesystem::remove(path);
  EXPECT_EQ(Recording::Load(path).error().code, Errc::kIo);
}

TEST(Recording, AHeaderThatDoesNotFitIsDamage) {
  const std::string path = PathOf("cairn_recording_header");
  ASSERT_TRUE(MakeRecording(100, 3, true).Save(path).has_value());
  std::ifstream file(path, std::ios::binary);
  std::string line;
  std::getline(file, line);
  const std::string numbers(std::istreambuf_iterator<char>(file), {});
  const nlohmann::json good = nlohmann::json::parse(line);
  const auto load = [&](const nlohmann::json& header) {
    std::ofstream(path, std::ios::binary) << header.dump() << "\n" << numbers;
    return Recording::Load(path);
  };
  ASSERT_TRUE(load(good).has_value());
  const nlohmann::json bad = nlohmann::json::parse(R"({
    "probes": [[[101, 1]], [[90, 20]], [[-1, 5]], [[80, 0]], [[80, 10], [85, 10]], [[80]], 7],
    "rows": [-1, 0, "100", 9000000000000000000],
    "layers": [[], [1, "2"]],
    "block_rows": [0, -8, 1000000000],
    "head_dim": [0, 15, 1000000],
    "kv_heads": [0, 5], "query_heads": [0, 7],
    "inverse_frequencies": [[], [1, 2]],
    "text": [5], "landmark": ["yes"]})");
  for (const auto& [key, values] : bad.items()) {
    nlohmann::json without = good;
    without.erase(key);
    EXPECT_EQ(load(without).error().code, Errc::kCorruption) << key;
    for (const nlohmann::json& value : values) {
      nlohmann::json header = good;
      header[key] = value;
      const auto loaded = load(header);
      ASSERT_TRUE(loaded.has_error()) << key << value;
      EXPECT_EQ(loaded.error().code, Errc::kCorruption) << key << value;
      EXPECT_NE(loaded.error().message.find(path), std::string::npos) << key << value;
    }
  }
  nlohmann::json numbered = good;
  numbered["magic"] = 1;
  EXPECT_EQ(load(numbered).error().code, Errc::kCorruption);
  std::filesystem::remove(path);
}

TEST(Recording, AnOlderOneStaysIfThereIsNoRoomForANewOne) {
  const Recording made = MakeRecording(100, 3, true);
  const std::string path = PathOf("cairn_recording");
  ASSERT_TRUE(made.Save(path).has_value());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 4096;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status saved = MakeRecording(200, 3, true).Save(path);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(saved.has_value());
  EXPECT_NE(saved.error().message.find(path), std::string::npos);
  EXPECT_EQ(Recording::Load(path).value().rows, 100);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  std::filesystem::remove(path);
}

/// Attends to nothing.
class NoAttention : public AttentionBackend {
 public:
  Status BeginStep(int32_t rows) override {
    step_ = rows;
    return Ok();
  }
  Status Attend(int32_t, const float*, const float*, const float*, float*) override { return Ok(); }
  Status EndStep() override {
    rows_ += step_;
    return Ok();
  }
  void AbortStep() override {}
  int64_t rows() const override { return rows_; }

 private:
  int32_t step_ = 0;
  int64_t rows_ = 0;
};

TEST(AttentionRecorder, KeepsKeysOfItsLayersAndQueriesOfEverySecondStep) {
  Recording recording = MakeRecording(20, 1, false);
  recording.rows = 0;
  recording.probes.clear();
  recording.keys.clear();
  recording.queries.clear();
  NoAttention inner;
  AttentionRecorder recorder(inner, 2, &recording);
  std::vector<float> numbers(size_t{4} * 2 * 16);
  for (int step = 0; step < 4; ++step) {
    ASSERT_TRUE(recorder.BeginStep(4).has_value());
    for (int layer = 0; layer < 5; ++layer) {
      for (float& x : numbers) x = static_cast<float>(10 * step + layer);
      ASSERT_TRUE(recorder.Attend(layer, numbers.data(), numbers.data(), nullptr, nullptr));
    }
    ASSERT_TRUE(recorder.EndStep().has_value());
  }
  EXPECT_EQ(recorder.rows(), 16);
  EXPECT_EQ(recording.rows, 16);
  ASSERT_EQ(recording.probes.size(), 2u);
  EXPECT_EQ(recording.probes[0].first_row, 4);
  EXPECT_EQ(recording.probes[1].first_row, 12);
  ASSERT_EQ(recording.keys.size(), 2u);
  float key[16];
  recording.Key(1, 9, 1, key);
  EXPECT_EQ(key[15], 23.0f);  // step 2, layer 3
  EXPECT_EQ(recording.queries[0].size(), size_t{8} * 2 * 16);
  EXPECT_EQ(recording.queries[1].back(), 33.0f);
}

}  // namespace
}  // namespace cairn
