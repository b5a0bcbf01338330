#include "index/code_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "index/code_scores.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

std::vector<float> ReadAll(const CodeStore& store) {
  const auto block = static_cast<size_t>(store.representatives() * store.dim());
  std::vector<float> all(static_cast<size_t>(store.size()) * block);
  for (int64_t b = 0; b < store.size(); ++b) {
    store.Read(b, all.data() + static_cast<size_t>(b) * block);
  }
  return all;
}

TEST(CodeStore, CodesAreWithinHalfAStep) {
  for (const int32_t dim : {1, 20, 64}) {
    for (const int32_t representatives : {1, 3, 4}) {
      CodeStore store(dim, representatives);
      TestRandom random(1);
      const int64_t blocks = 2 * store.chunk_blocks() + 5;
      const std::vector<float> given =
          random.Normals(static_cast<size_t>(blocks * representatives * dim), 3.0f);
      store.Append(blocks, given.data());
      EXPECT_EQ(store.size(), blocks);
      EXPECT_EQ(store.coded_chunks(), 2);
      const std::vector<float> held = ReadAll(store);
      const size_t coded = static_cast<size_t>(2 * store.chunk_vectors() * dim);
      for (size_t i = 0; i < held.size(); ++i) {
        const size_t chunk = i / static_cast<size_t>(store.chunk_vectors() * dim);
        const float step =
            i < coded
                ? Bf16ToFloat(
                      store.scale(static_cast<int64_t>(chunk)).step[i % static_cast<size_t>(dim)])
                : 0.0f;
        ASSERT_NEAR(held[i], given[i], 0.501f * step) << i;
      }
    }
  }
}

TEST(CodeStore, ExtremesAndEqualNumbers) {
  CodeStore store(4, 1);
  std::vector<float> given;
  for (int64_t v = 0; v < store.chunk_blocks(); ++v) {
    given.insert(given.end(),
                 {0.1f, v % 2 == 0 ? -3e38f : 3e38f, 1e-30f * static_cast<float>(v), -0.0f});
  }
  store.Append(store.chunk_blocks(), given.data());
  ASSERT_EQ(store.coded_chunks(), 1);
  const std::vector<float> held = ReadAll(store);
  for (size_t i = 0; i < held.size(); i += 4) {
    EXPECT_EQ(held[i], 0.1f);
    EXPECT_NEAR(held[i + 1] / 3e38f, given[i + 1] / 3e38f, 0.01f);
    EXPECT_NEAR(held[i + 2], given[i + 2], 1.1e-30f);
    EXPECT_EQ(held[i + 3], 0.0f);
  }
}

TEST(CodeStore, ComesBackToWhatWasKept) {
  TestRandom random(6);
  CodeStore asked(8, 2);
  CodeStore unasked(8, 2);
  const int64_t chunk = asked.chunk_blocks();
  const std::vector<float> given = random.Normals(static_cast<size_t>(4 * chunk) * 16);
  const int64_t kept = chunk + 40;
  for (CodeStore* store : {&asked, &unasked}) store->Append(kept, given.data());
  asked.Keep();
  const std::vector<float> held = ReadAll(asked);
  for (const int64_t more : {chunk - 41, chunk - 40, chunk, 3 * chunk}) {
    const std::vector<float> question = random.Normals(static_cast<size_t>(more) * 16);
    asked.Append(more, question.data());
    if (more >= chunk) asked.Truncate(kept + 50);  // of what is coded, behind what was kept
    asked.Truncate(kept);
    EXPECT_EQ(ReadAll(asked), held);
    EXPECT_LE(asked.memory_bytes(), unasked.memory_bytes());
  }
  // Codes that come later are of the same vectors.
  for (CodeStore* store : {&asked, &unasked}) store->Append(2 * chunk, given.data() + kept * 16);
  EXPECT_EQ(ReadAll(asked), ReadAll(unasked));
  // What was kept is forgotten with a cut into it.
  asked.Truncate(kept - 10);
  std::vector<float> left(held.begin(), held.end() - 160);
  EXPECT_EQ(ReadAll(asked), left);
  asked.Append(chunk, given.data());
  asked.Truncate(kept - 10);
  EXPECT_EQ(ReadAll(asked), left);
}

TEST(CodeStore, TruncatesToWhatTheCodesSay) {
  CodeStore store(8, 2);
  TestRandom random(2);
  const int64_t blocks = 3 * store.chunk_blocks() + 9;
  const std::vector<float> given = random.Normals(static_cast<size_t>(blocks) * 16);
  store.Append(blocks, given.data());
  std::vector<float> before = ReadAll(store);
  for (const int64_t size : {blocks - 3, 3 * store.chunk_blocks(), store.chunk_blocks() + 7,
                             store.chunk_blocks(), int64_t{3}, int64_t{0}}) {
    store.Truncate(size);
    EXPECT_EQ(store.size(), size);
    before.resize(static_cast<size_t>(size) * 16);
    EXPECT_EQ(ReadAll(store), before);
  }
  EXPECT_EQ(store.memory_bytes(), 0u);
  store.Append(blocks, given.data());
  EXPECT_EQ(store.coded_chunks(), 3);
}

TEST(CodeStore, ScoresOfAnyPartOfAChunk) {
  for (const int32_t representatives : {1, 3}) {
    CodeStore store(20, representatives);
    TestRandom random(5);
    const int64_t blocks = store.chunk_blocks() + 30;
    const auto block_floats = static_cast<size_t>(representatives) * 20;
    const std::vector<float> given = random.Normals(static_cast<size_t>(blocks) * block_floats);
    store.Append(blocks, given.data());
    const std::vector<float> held = ReadAll(store);
    const std::vector<float> queries = random.Normals(size_t{7} * 20);
    for (int64_t chunk = 0; chunk < 2; ++chunk) {
      const int64_t last = chunk == 0 ? store.chunk_blocks() : 30;
      for (const int64_t begin : {int64_t{0}, int64_t{1}, int64_t{19}}) {
        const int64_t vectors = (last - begin) * representatives;
        const int64_t stride = vectors + 3;
        std::vector<float> scores(static_cast<size_t>(7 * stride));
        ScoreChunk(store, chunk, begin, last, queries.data(), 7, QueryBits::kFine, scores.data(),
                   stride);
        for (int64_t r = 0; r < 7; ++r) {
          for (int64_t i = 0; i < vectors; ++i) {
            const int64_t at = ((chunk * store.chunk_blocks() + begin) * representatives + i) * 20;
            double expected = 0;
            for (int64_t c = 0; c < 20; ++c) {
              expected += double{queries[static_cast<size_t>(r * 20 + c)]} *
                          held[static_cast<size_t>(at + c)];
            }
            ASSERT_NEAR(scores[static_cast<size_t>(r * stride + i)], expected, 2e-3)
                << "chunk " << chunk << " from " << begin << " row " << r << " vector " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace cairn
