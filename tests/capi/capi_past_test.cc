// Pasts of models that the caller runs: what comes out, what stays, what is refused.
#include <map>

#include "capi_fixture.h"
#include "past_model.h"

namespace cairn::test {
namespace {

constexpr int kRows = 200;

class CapiPastTest : public CapiTest {
 protected:
  void TearDown() override {
    cairn_past_close(past_);
    CapiTest::TearDown();
  }

  /// Options under which `retrieve` blocks of 16 rows are chosen, of 12 that there are.
  static std::map<std::string, std::string> Given(int retrieve = 64) {
    return {{"model-name", "noise"},
            {"layers", "2"},
            {"query-heads", "4"},
            {"kv-heads", "2"},
            {"context", "4096"},
            {"block-tokens", "16"},
            {"chunk", "32"},
            {"recent", "32"},
            {"kv-type", "f32"},
            {"representatives", "4"},
            {"retrieve", std::to_string(retrieve)}};
  }
  cairn_status Make(const char* name, const std::map<std::string, std::string>& given,
                    const PastModel& model, bool create = true) {
    Options options({});
    for (const auto& [option, value] : given) options.Set(option.c_str(), value);
    return (create ? cairn_past_create : cairn_past_open)(
        store_, name, options.get(), model.frequencies.data(), model.frequencies.size(), &past_);
  }
  void Close() {
    cairn_past_close(past_);
    past_ = nullptr;
  }
  void ExpectDense(const PastModel& model, const std::vector<std::vector<float>>& o) {
    for (int layer = 0; layer < PastModel::kLayers; ++layer) {
      for (const int row : {0, 15, 16, 31, 32, 100, kRows - 1}) {
        for (int head = 0; head < PastModel::kQueryHeads; ++head) {
          const auto wanted = model.Dense(layer, row, head);
          const float* got = o[static_cast<size_t>(layer)].data() + row * PastModel::kQueryRow +
                             head * PastModel::kDim;
          for (size_t c = 0; c < PastModel::kDim; ++c) {
            ASSERT_NEAR(got[c], wanted[c], 2e-5) << layer << ' ' << row << ' ' << head << ' ' << c;
          }
        }
      }
    }
  }

  cairn_past* past_ = nullptr;
};

TEST_F(CapiPastTest, WithAllBlocksChosenItIsDenseAttention) {
  PastModel model(kRows, 1);
  std::vector<std::vector<float>> o;
  ASSERT_EQ(Make("dense", Given(), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, kRows, &o), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_rows(past_), uint64_t{kRows});
  ExpectDense(model, o);
}

TEST_F(CapiPastTest, RotationAndScaleAreThoseOfTheModel) {
  PastModel model(kRows, 2);
  model.interleaved = true;
  model.scale = 0.5f;
  auto given = Given();
  given["rope"] = "interleaved";
  given["scale"] = "0.5";
  std::vector<std::vector<float>> o;
  ASSERT_EQ(Make("turned", given, model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, kRows, &o), CAIRN_OK) << Why();
  ExpectDense(model, o);
}

TEST_F(CapiPastTest, AFewBlocksAreEnoughForWhatIsInThem) {
  PastModel model(kRows, 3);
  // Row 40 has a key that the last row's queries point to, in all heads, and a value of its own.
  LayerRows& layer = model.layers[1];
  for (int c = 0; c < PastModel::kDim; ++c) {
    for (int head = 0; head < PastModel::kKvHeads; ++head) {
      layer.k[static_cast<size_t>(40 * PastModel::kKvRow + head * PastModel::kDim + c)] = 6;
      layer.v[static_cast<size_t>(40 * PastModel::kKvRow + head * PastModel::kDim + c)] = 25;
    }
    for (int head = 0; head < PastModel::kQueryHeads; ++head) {
      layer
          .q[static_cast<size_t>((kRows - 1) * PastModel::kQueryRow + head * PastModel::kDim + c)] =
          6;
    }
  }
  model.frequencies = {1e-5, 1e-6, 1e-7, 1e-8};  // so slow that no distance counts
  std::vector<std::vector<float>> o;
  ASSERT_EQ(Make("few", Given(1), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, kRows, &o), CAIRN_OK) << Why();
  EXPECT_NEAR(o[1].back(), 25, 0.1);
}

TEST_F(CapiPastTest, ItGoesOnAfterACommitAsIfNothingHadBeen) {
  const PastModel model(kRows, 4);
  std::vector<std::vector<float>> whole, first, second;
  ASSERT_EQ(Make("whole", Given(2), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, kRows, &whole), CAIRN_OK) << Why();
  Close();
  ASSERT_EQ(Make("parts", Given(2), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, 128, &first), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_past_commit(past_), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 128, 160, &second), CAIRN_OK) << Why();  // and is lost
  Close();
  CloseStore();
  OpenStore();
  ASSERT_EQ(Make("parts", Given(2), model, false), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_chunk(past_), 32u);
  EXPECT_EQ(cairn_past_rows(past_), 128u);
  EXPECT_EQ(cairn_past_committed_rows(past_), 128u);
  second.clear();
  ASSERT_EQ(model.Feed(past_, 128, kRows, &second), CAIRN_OK) << Why();
  for (size_t layer = 0; layer < 2; ++layer) {
    first[layer].insert(first[layer].end(), second[layer].begin(), second[layer].end());
    EXPECT_EQ(first[layer], whole[layer]);
  }
  std::vector<uint32_t> tokens(kRows + 5);
  size_t count = 0;
  ASSERT_EQ(cairn_past_read_tokens(past_, 10, tokens.data(), tokens.size(), &count), CAIRN_OK);
  EXPECT_EQ(count, size_t{kRows - 10});
  EXPECT_EQ(tokens[0], 0u);
  EXPECT_EQ(tokens[count - 1], 192u);
}

TEST_F(CapiPastTest, StepsAreUndoneAndMadeAgain) {
  const PastModel model(kRows, 5);
  std::vector<std::vector<float>> once, again;
  ASSERT_EQ(Make("undone", Given(2), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, 64, &once), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_past_commit(past_), CAIRN_OK) << Why();
  once.clear();
  ASSERT_EQ(model.Feed(past_, 64, kRows, &once), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_past_revert(past_), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_rows(past_), 64u);
  ASSERT_EQ(cairn_past_begin(past_, 20), CAIRN_OK) << Why();
  std::vector<float> o(20 * PastModel::kQueryRow);
  ASSERT_EQ(cairn_past_attend(past_, 0, model.layers[1].q.data(), model.layers[1].k.data(),
                              model.layers[1].v.data(), o.data()),
            CAIRN_OK);
  ASSERT_EQ(cairn_past_abort(past_), CAIRN_OK);
  ASSERT_EQ(cairn_past_abort(past_), CAIRN_OK) << "there is none any more";
  ASSERT_EQ(model.Feed(past_, 64, kRows, &again), CAIRN_OK) << Why();
  EXPECT_EQ(again, once);
}

TEST_F(CapiPastTest, HowMuchIsChosenMayChange) {
  const PastModel model(kRows, 6);
  std::vector<std::vector<float>> few, all;
  ASSERT_EQ(Make("changing", Given(1), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, kRows - 1, &few), CAIRN_OK) << Why();
  const Options wide({{"retrieve", "64"}, {"recent", "32"}, {"selection", "per-token"}});
  ASSERT_EQ(cairn_past_choose(past_, wide.get()), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, kRows - 1, kRows, &all), CAIRN_OK) << Why();
  const auto wanted = model.Dense(1, kRows - 1, 3);
  for (size_t c = 0; c < PastModel::kDim; ++c) {
    EXPECT_NEAR(all[1][3 * PastModel::kDim + c], wanted[c], 2e-5);
  }
  const Options wrong({{"selection", "somehow"}});
  EXPECT_EQ(cairn_past_choose(past_, wrong.get()), CAIRN_INVALID_ARGUMENT);
}

TEST_F(CapiPastTest, LandmarkRowsAreNoTokens) {
  const PastModel model(kRows, 7);
  auto given = Given(3);
  given["mode"] = "landmark";
  given["block-tokens"] = "15";
  given.erase("representatives");
  given.erase("recent");
  ASSERT_EQ(Make("marked", given, model), CAIRN_OK) << Why();
  const std::vector<float> ones(32 * PastModel::kKvRow, 1.0f);
  std::vector<float> o(32 * PastModel::kQueryRow);
  const std::vector<uint32_t> tokens(32, 7);
  for (int step = 0; step < 6; ++step) {
    ASSERT_EQ(cairn_past_begin(past_, 32), CAIRN_OK) << Why();
    for (uint32_t layer = 0; layer < 2; ++layer) {
      const LayerRows& rows = model.layers[layer];
      ASSERT_EQ(
          cairn_past_attend(past_, layer, rows.q.data() + step * 32 * PastModel::kQueryRow,
                            rows.k.data() + step * 32 * PastModel::kKvRow, ones.data(), o.data()),
          CAIRN_OK)
          << Why();
    }
    EXPECT_EQ(cairn_past_end(past_, tokens.data(), 32), CAIRN_INVALID_ARGUMENT);
    EXPECT_NE(Why().find("give 30"), std::string::npos) << Why();
    ASSERT_EQ(cairn_past_end(past_, tokens.data(), 30), CAIRN_OK) << Why();
    for (const float x : o) ASSERT_NEAR(x, 1, 1e-5);
  }
  ASSERT_EQ(cairn_past_commit(past_), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_rows(past_), 192u);
  EXPECT_EQ(cairn_store_verify(store_, "marked", nullptr, nullptr), CAIRN_OK) << Why();
}

TEST_F(CapiPastTest, WhatIsMissingOrWrongIsNamed) {
  const PastModel model(kRows, 8);
  for (const char* option : {"model-name", "layers", "query-heads", "kv-heads", "context"}) {
    auto given = Given();
    given.erase(option);
    EXPECT_EQ(Make("x", given, model), CAIRN_INVALID_ARGUMENT);
    EXPECT_NE(Why().find(option), std::string::npos) << Why();
  }
  for (const auto& [option, value] : std::map<std::string, std::string>{{"layers", "-2"},
                                                                        {"query-heads", "3"},
                                                                        {"context", "64"},
                                                                        {"scale", "-1"},
                                                                        {"scale", "nan"},
                                                                        {"kv-type", "f8"},
                                                                        {"retrieve", "100000"}}) {
    auto given = Given();
    given[option] = value;
    EXPECT_EQ(Make("x", given, model), CAIRN_INVALID_ARGUMENT) << option;
  }
  Options options({});
  EXPECT_EQ(cairn_options_set(const_cast<cairn_options*>(options.get()), "rope", "spiral"),
            CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("half-split or interleaved"), std::string::npos) << Why();
  PastModel none(kRows, 8);
  none.frequencies.clear();
  EXPECT_EQ(Make("x", Given(), none), CAIRN_INVALID_ARGUMENT) << Why();
  EXPECT_EQ(SessionNames(), std::vector<std::string>()) << "nothing was made";
}

TEST_F(CapiPastTest, StepsOutOfOrderChangeNothing) {
  const PastModel model(kRows, 9);
  const LayerRows& rows = model.layers[0];
  std::vector<float> o(64 * PastModel::kQueryRow);
  const std::vector<uint32_t> tokens(64);
  const auto attend = [&](uint32_t layer) {
    return cairn_past_attend(past_, layer, rows.q.data(), rows.k.data(), rows.v.data(), o.data());
  };
  ASSERT_EQ(Make("orderly", Given(), model), CAIRN_OK) << Why();
  EXPECT_EQ(attend(0), CAIRN_INVALID_ARGUMENT) << "no step";
  EXPECT_EQ(cairn_past_end(past_, tokens.data(), 0), CAIRN_INVALID_ARGUMENT);
  for (const uint32_t bad : {0u, 33u, 0xffffffffu}) {
    EXPECT_EQ(cairn_past_begin(past_, bad), CAIRN_INVALID_ARGUMENT) << bad;
  }
  ASSERT_EQ(cairn_past_begin(past_, 32), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_begin(past_, 32), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_past_commit(past_), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_past_choose(past_, nullptr), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(attend(2), CAIRN_INVALID_ARGUMENT);
  ASSERT_EQ(attend(1), CAIRN_OK) << Why();
  EXPECT_EQ(attend(1), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_past_end(past_, tokens.data(), 32), CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("layer 0"), std::string::npos) << Why();
  ASSERT_EQ(attend(0), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_end(past_, tokens.data(), 31), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_past_rows(past_), 0u);
  ASSERT_EQ(cairn_past_end(past_, tokens.data(), 32), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_past_rows(past_), 32u);
}

TEST_F(CapiPastTest, NumbersThatAreNoneChangeNothing) {
  const PastModel model(kRows, 11);
  std::vector<std::vector<float>> first, rest, whole;
  ASSERT_EQ(Make("whole", Given(2), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, 96, &whole), CAIRN_OK) << Why();
  Close();
  ASSERT_EQ(Make("tried", Given(2), model), CAIRN_OK) << Why();
  ASSERT_EQ(model.Feed(past_, 0, 64, &first), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_past_begin(past_, 32), CAIRN_OK) << Why();
  const LayerRows& rows = model.layers[0];
  std::vector<float> o(32 * PastModel::kQueryRow);
  const auto attend = [&](std::vector<float> q, std::vector<float> k, std::vector<float> v) {
    return cairn_past_attend(past_, 0, q.data(), k.data(), v.data(), o.data());
  };
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    auto q = rows.q, k = rows.k, v = rows.v;
    q[31 * PastModel::kQueryRow + 3] = k[0] = v[7 * PastModel::kKvRow] = bad;
    EXPECT_EQ(attend(q, rows.k, rows.v), CAIRN_INVALID_ARGUMENT);
    EXPECT_NE(Why().find("in row 31"), std::string::npos) << Why();
    EXPECT_EQ(attend(rows.q, k, rows.v), CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(attend(rows.q, rows.k, v), CAIRN_INVALID_ARGUMENT);
    EXPECT_NE(Why().find("in row 7"), std::string::npos) << Why();
  }
  auto q = rows.q;
  for (float* out : {q.data(), q.data() + 5, q.data() + 32 * PastModel::kQueryRow - 1}) {
    EXPECT_EQ(cairn_past_attend(past_, 0, q.data(), rows.k.data(), rows.v.data(), out),
              CAIRN_INVALID_ARGUMENT);
    EXPECT_NE(Why().find("overlap"), std::string::npos) << Why();
  }
  ASSERT_EQ(cairn_past_abort(past_), CAIRN_OK);
  EXPECT_EQ(cairn_past_rows(past_), 64u);
  ASSERT_EQ(model.Feed(past_, 64, 96, &rest), CAIRN_OK) << Why();
  for (size_t layer = 0; layer < 2; ++layer) {
    first[layer].insert(first[layer].end(), rest[layer].begin(), rest[layer].end());
    EXPECT_EQ(first[layer], whole[layer]);
  }
}

TEST_F(CapiPastTest, OnlyItsOwnModelGoesOnWithIt) {
  const PastModel model(kRows, 10);
  ASSERT_EQ(Make("mine", Given(), model), CAIRN_OK) << Why();
  cairn_past* mine = past_;
  EXPECT_EQ(Make("mine", Given(), model, false), CAIRN_BUSY);
  EXPECT_EQ(cairn_store_delete(store_, "mine"), CAIRN_BUSY);
  cairn_past_close(mine);
  past_ = nullptr;
  EXPECT_EQ(Make("mine", Given(), model), CAIRN_EXISTS) << Why();
  for (const auto& [option, value] : std::map<std::string, std::string>{{"model-name", "other"},
                                                                        {"layers", "3"},
                                                                        {"kv-heads", "4"},
                                                                        {"scale", "0.25"},
                                                                        {"rope", "interleaved"},
                                                                        {"mode", "landmark"},
                                                                        {"kv-type", "f16"},
                                                                        {"block-tokens", "32"}}) {
    auto given = Given();
    given[option] = value;
    EXPECT_EQ(Make("mine", given, model, false), CAIRN_MISMATCH) << option << ": " << Why();
  }
  PastModel other = model;
  other.frequencies[3] *= 2;
  EXPECT_EQ(Make("mine", Given(), other, false), CAIRN_MISMATCH) << Why();
  EXPECT_EQ(cairn_session_open(store_, model_, "mine", nullptr, &session_), CAIRN_MISMATCH);
  EXPECT_NE(Why().find("which another program runs"), std::string::npos) << Why();
  Create("cairns");
  CloseStore();
  OpenStore();
  EXPECT_EQ(Make("cairns", Given(), model, false), CAIRN_MISMATCH);
  EXPECT_EQ(Make("nobodys", Given(), model, false), CAIRN_NOT_FOUND);
}

}  // namespace
}  // namespace cairn::test
