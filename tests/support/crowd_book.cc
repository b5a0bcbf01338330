#include "tests/support/crowd_book.h"

#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "engine/fork_point.h"
#include "storage/memory_cold_store.h"

namespace cairn::test {
namespace {

constexpr int32_t kLayers = 2;
constexpr int32_t kQueryHeads = 4;
constexpr int32_t kKvHeads = 2;
constexpr int32_t kDim = 8;

constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };

std::vector<float> Normals(std::mt19937_64& random, size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

}  // namespace

SessionShape BookShape() {
  SessionShape shape;
  shape.layers = kLayers;
  shape.query_heads = kQueryHeads;
  shape.kv_heads = kKvHeads;
  shape.block = {4, kDim, DType::kF16};
  shape.mode = AttentionMode::kUnmodified;
  shape.representatives = 2;
  shape.context_rows = 4096;
  shape.inverse_frequencies = RopeTable::InverseFrequencies(10000.0, kDim);
  return shape;
}

SessionOptions BookOptions() {
  SessionOptions options;
  options.retrieve = 3;
  options.recent_tokens = 8;
  options.max_step_rows = kBookStepRows;
  options.selection = Selection::kPerToken;
  return options;
}

Result<CrowdBook> CrowdBook::Make(uint64_t seed) {
  CrowdBook book;
  book.seed_ = seed;
  std::mt19937_64 random(seed);
  const size_t count = size_t{kLayers} * kBookRows * kDim;
  book.q_ = Normals(random, count * kQueryHeads);
  book.k_ = Normals(random, count * kKvHeads);
  book.v_ = Normals(random, count * kKvHeads);

  CAIRN_TRY(const auto engine,
            Engine::Open(std::make_unique<MemoryColdStore>(), {.host_bytes = 1 << 20}));
  CAIRN_TRY(const auto session,
            engine->CreateSession("alone", BookShape(), BookOptions(), kBookProfile));
  SessionCatalog& catalog = engine->catalog();
  CAIRN_TRY(book.AddEnd(catalog, session->record()));
  for (int32_t step = 0; step < kBookSteps; ++step) {
    const int64_t first = session->rows();
    CAIRN_TRY(session->BeginStep(kBookStepRows));
    CAIRN_TRY(book.AttendAll(*session, first, book.outputs_.emplace_back()));
    CAIRN_TRY(session->EndStep());
    session->AddTokens(book.Tokens(first, kBookStepRows));
    CAIRN_TRY(session->Commit(kBookProfile));
    CAIRN_TRY(book.AddEnd(catalog, session->record()));
  }
  const int64_t block_rows = BookShape().block.block_rows;
  for (int64_t block = 1; block * block_rows < kBookRows; ++block) {
    if (book.ends_.contains(block * block_rows)) continue;
    CAIRN_TRY(const ForkPoint point,
              ForkPointBehind(engine->cold(), session->record(), block, kBookProfile, kNoWatch));
    CAIRN_TRY(const SessionRecord fork,
              catalog.Fork(session->record(), std::to_string(block), point));
    CAIRN_TRY(book.AddEnd(catalog, fork));
  }
  return book;
}

Status CrowdBook::AddEnd(const SessionCatalog& catalog, const SessionRecord& record) {
  End& end = ends_[static_cast<int64_t>(record.rows)];
  CAIRN_TRY(end.digest, SessionDigest(catalog, record, ""));
  CAIRN_TRY(end.tail, catalog.ReadTail(record));
  return Ok();
}

std::vector<uint32_t> CrowdBook::Tokens(int64_t first, int64_t count) const {
  std::vector<uint32_t> tokens;
  for (int64_t row = first; row < first + count; ++row) {
    tokens.push_back(static_cast<uint32_t>(seed_ * 7919 + static_cast<uint64_t>(row)));
  }
  return tokens;
}

Status CrowdBook::AttendAll(Session& session, int64_t first, std::vector<float>& outputs) const {
  const size_t width = size_t{kQueryHeads} * kDim;
  outputs.resize(kLayers * kBookStepRows * width);
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    const auto row = static_cast<size_t>(layer * kBookRows + first);
    CAIRN_TRY(session.Attend(layer, q_.data() + row * width, k_.data() + row * kKvHeads * kDim,
                             v_.data() + row * kKvHeads * kDim,
                             outputs.data() + static_cast<size_t>(layer) * kBookStepRows * width));
  }
  return Ok();
}

Status CrowdBook::CompareOutputs(int64_t first, const std::vector<float>& outputs) const {
  const std::vector<float>& alone = outputs_[static_cast<size_t>(first / kBookStepRows)];
  if (outputs.size() == alone.size() &&
      std::memcmp(outputs.data(), alone.data(), outputs.size() * sizeof(float)) == 0) {
    return Ok();
  }
  return Fail(Errc::kMismatch, "the step at row {} of book {} has other outputs than alone", first,
              seed_);
}

}  // namespace cairn::test
