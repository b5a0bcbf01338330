#include "engine/session.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "engine/device_index.h"
#include "engine/payload_chain.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"
#include "index/faiss_gpu_index.h"

namespace cairn {
namespace {

// On the device there are two kinds; the others are on the CPU wherever blocks are attended.
bool IsForDevice(IndexKind kind, const Device* device) {
  return device != nullptr && (kind == IndexKind::kAuto || kind == IndexKind::kInt8);
}

Result<std::unique_ptr<LandmarkIndex>> IndexFor(const IndexOptions& options, int32_t kv_heads,
                                                Device* device) {
  if (IsForDevice(options.kind, device)) {
    return DeviceIndex::Make(options, *device);
  }
  if (device != nullptr && options.kind == IndexKind::kFaiss) {
    return MakeFaissGpuIndex(options, kv_heads, *device);
  }
  return MakeIndex(options);
}

}  // namespace

Session::Session(const SessionShape& shape, const SessionOptions& options, TieredStore& store,
                 SessionCatalog& catalog, StepCounts& steps, std::atomic<int32_t>& open,
                 SessionRecord record, std::unique_ptr<LandmarkIndex> index)
    : shape_(shape),
      options_(options),
      store_(store),
      catalog_(catalog),
      steps_(steps),
      open_(open),
      record_(std::move(record)),
      rope_(shape_.rope_style, shape_.inverse_frequencies),
      index_(std::move(index)),
      near_keys_(shape_.partitions(), shape_.block.head_dim),
      local_(shape_, options_.max_step_rows),
      selector_(shape_, rope_, *index_, near_keys_),
      attention_(shape_, rope_, store_),
      certifier_(shape_, rope_, near_keys_) {
  // A device takes a copy of the table once; else it grows with the positions that steps reach.
  if (store_.device() != nullptr) ReservePositions(shape_.context_rows);
  ++open_;
}

Session::~Session() {
  ReleaseDevice();
  // What was not committed could never be seen again; this frees its space now, not at next open.
  if (extent_ != 0) doomed_ = {extent_, extent_committed_};
  (void)DropDoomed().has_value();
  --open_;
}

Result<std::unique_ptr<Session>> Session::Load(const SessionShape& shape,
                                               const SessionOptions& options, TieredStore& store,
                                               SessionCatalog& catalog, StepCounts& steps,
                                               std::atomic<int32_t>& open, SessionRecord record) {
  CAIRN_TRY(shape.Validate());
  CAIRN_TRY(options.Validate(shape));
  CAIRN_TRY(auto index,
            IndexFor(IndexOptionsOf(shape, options.index), shape.kv_heads, store.device()));
  std::unique_ptr<Session> session(new Session(shape, options, store, catalog, steps, open,
                                               std::move(record), std::move(index)));
  if (IsForDevice(options.index, store.device())) {
    session->device_index_ = static_cast<DeviceIndex*>(session->index_.get());
  }
  CAIRN_TRY(session->LoadPast());
  return session;
}

Status Session::LoadPast() {
  CAIRN_TRY(auto stored, ParseStoredShape(record_.properties));
  if (stored.shape != DescribeShape(shape_)) {
    return Fail(Errc::kMismatch, "session '{}' was made with {} and cannot go on with {}",
                record_.name, stored.shape, DescribeShape(shape_));
  }
  properties_ = stored.properties;
  chain_ = committed_chain_ = stored.chain;
  blocks_ = committed_blocks_ = BlockMap(record_.ranges);
  rows_ = static_cast<int64_t>(record_.rows);
  tokens_ = static_cast<int64_t>(record_.tokens);
  if (blocks_.size() != rows_ / shape_.block.block_rows) {
    return Fail(Errc::kCorruption, "session '{}' has {} rows but {} stored blocks", record_.name,
                rows_, blocks_.size());
  }
  CAIRN_TRY(committed_tail_, catalog_.ReadTail(record_));
  CAIRN_TRY(
      local_.LoadTail(committed_tail_, static_cast<int32_t>(rows_ % shape_.block.block_rows)));
  near_keys_.DropBefore(blocks_.size() - shape_.context_rows / shape_.block.block_rows);
  CAIRN_TRY(index_->Reserve(blocks_.size()));
  std::vector<Status> loaded(static_cast<size_t>(shape_.layers), Status(Ok()));
  ParallelFor(shape_.layers, [&](int64_t layer) {
    loaded[layer] = LoadRepresentatives(static_cast<int32_t>(layer));
  });
  for (const Status& status : loaded) CAIRN_TRY(status);
  index_->Keep();
  new_sections_.resize(2 * static_cast<size_t>(shape_.layers));
  return Ok();
}

Status Session::LoadRepresentatives(int32_t layer) {
  CAIRN_TRY(auto sections,
            catalog_.ReadSections(record_, SummaryType(shape_.mode), static_cast<uint16_t>(layer)));
  int64_t count = 0;
  std::vector<float> scratch;
  for (const SummarySection& section : sections) {
    if (section.bytes.size() != section.count * SummaryBytes(shape_)) {
      return Fail(Errc::kCorruption, "session '{}': landmarks of layer {} have {} bytes, not {}",
                  record_.name, layer, section.bytes.size(), section.count * SummaryBytes(shape_));
    }
    CAIRN_TRY(AddSummaries(layer, section.count, section.bytes.data(), true, scratch));
    count += section.count;
  }
  if (count != blocks_.size()) {
    return Fail(Errc::kCorruption, "session '{}': layer {} has landmarks of {} blocks, not {}",
                record_.name, layer, count, blocks_.size());
  }
  return Ok();
}

Status Session::AddSummaries(int32_t layer, int64_t count, const char* bytes, bool loaded,
                             std::vector<float>& scratch) {
  const int32_t heads = shape_.kv_heads;
  const int64_t per_head = static_cast<int64_t>(shape_.representatives) * shape_.block.head_dim;
  const int64_t first = index_->size(layer * heads);
  const int64_t first_near = near_keys_.first();
  const size_t source_bytes = static_cast<size_t>(per_head) * DTypeBytes(SummaryDType(shape_));
  // [Hkv, count, R, D] from [count, Hkv, R, D]
  scratch.resize(static_cast<size_t>(count * heads * per_head));
  for (int64_t block = 0; block < count; ++block) {
    for (int32_t head = 0; head < heads; ++head) {
      float* target = scratch.data() + (head * count + block) * per_head;
      ConvertToFloat(SummaryDType(shape_), bytes, target, static_cast<size_t>(per_head));
      bytes += source_bytes;
      const bool near = shape_.mode == AttentionMode::kLandmark && first + block >= first_near;
      if (near) near_keys_.Add(layer * heads + head, target);
    }
  }
  return loaded ? index_->Load(layer * heads, heads, count, scratch.data())
                : index_->Add(layer * heads, heads, count, scratch.data());
}

std::string Session::StoredProperties(const std::string& properties) const {
  return ToJson({DescribeShape(shape_), chain_, properties});
}

void Session::ChainPayloads(int32_t complete) {
  for (int32_t i = 0; i < complete; ++i) {
    Hasher block;
    for (int32_t layer = 0; layer < shape_.layers; ++layer) {
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        block.Update(local_.sealed(layer, head, i), shape_.block.payload_bytes());
      }
    }
    chain_ = NextChain(chain_, block);
  }
}

void Session::AddTokens(std::span<const uint32_t> tokens) {
  new_tokens_.insert(new_tokens_.end(), tokens.begin(), tokens.end());
  tokens_ += std::ssize(tokens);
}

Status Session::Commit(const std::string& properties) {
  CAIRN_CHECK(step_rows_ == 0);
  const Slice slice(store_.timeline(), "commit");
  const auto tail_rows = static_cast<int32_t>(rows_ % shape_.block.block_rows);
  CAIRN_TRY(DropDoomed());
  if (on_device_ != nullptr) CAIRN_TRY(on_device_->BringBack(tail_rows, &local_));
  if (extent_ != 0) CAIRN_TRY(store_.Flush(extent_));
  SessionCommit commit;
  commit.record = record_;
  commit.record.properties = StoredProperties(properties);
  commit.record.tokens = static_cast<uint64_t>(tokens_);
  commit.record.rows = static_cast<uint64_t>(rows_);
  commit.record.ranges = blocks_.ranges();
  commit.record.commits = record_.commits + 1;
  commit.replaces = replacing_.has_value();
  if (commit.replaces) commit.new_tokens = *replacing_;
  commit.new_tokens.insert(commit.new_tokens.end(), new_tokens_.begin(), new_tokens_.end());
  commit.tail = local_.SaveTail(tail_rows);
  commit.record.tail_bytes = commit.tail.size();
  for (const SummarySection& section : new_sections_) {
    if (section.count > 0) commit.sections.push_back(section);
  }
  // If it fails it may be found all the same, and then its blocks must be there. Should it not be
  // found, the next writer drops them.
  extent_committed_ = extent_blocks_;
  CAIRN_TRY(catalog_.Commit(commit));

  record_ = std::move(commit.record);
  properties_ = properties;
  committed_tail_ = std::move(commit.tail);
  committed_chain_ = chain_;
  committed_blocks_ = blocks_;
  index_->Keep();
  new_tokens_.clear();
  replacing_.reset();
  for (SummarySection& section : new_sections_) section = {};
  near_keys_.DropBefore(blocks_.size() - shape_.context_rows / shape_.block.block_rows);
  return Ok();
}

Status Session::Revert() {
  AbortStep();
  ReleaseDevice();
  if (extent_ != 0) doomed_ = {extent_, extent_committed_};
  // A disk that fails keeps it for now. The session does not wait for that.
  (void)DropDoomed().has_value();
  if (on_device_ != nullptr) on_device_->Outdate();
  fits_device_ = true;
  extent_ = 0;  // a cut extent is never written to again
  extent_blocks_ = extent_committed_ = 0;
  index_->Truncate(0, shape_.partitions(), committed_blocks_.size());
  near_keys_.Truncate(committed_blocks_.size());
  if (bounds_ != nullptr) bounds_->Truncate(committed_blocks_.size());
  blocks_ = committed_blocks_;
  chain_ = committed_chain_;
  rows_ = static_cast<int64_t>(record_.rows);
  tokens_ = static_cast<int64_t>(record_.tokens);
  new_tokens_.clear();
  for (SummarySection& section : new_sections_) section = {};
  return local_.LoadTail(committed_tail_, static_cast<int32_t>(rows_ % shape_.block.block_rows));
}

Status Session::DropDoomed() {
  if (doomed_.extent == 0) return Ok();
  CAIRN_TRY(store_.Discard(doomed_.extent, doomed_.from));
  doomed_ = {};
  return Ok();
}

Result<std::vector<uint32_t>> Session::ReadTokens() const {
  std::vector<uint32_t> tokens;
  if (replacing_.has_value()) {
    tokens = *replacing_;
  } else {
    CAIRN_TRY(tokens, catalog_.ReadTokens(record_));
  }
  tokens.insert(tokens.end(), new_tokens_.begin(), new_tokens_.end());
  return tokens;
}

Result<std::string> SessionDigest(const SessionCatalog& catalog, const SessionRecord& record,
                                  std::string_view more) {
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(auto tokens, catalog.ReadTokens(record));
  CAIRN_TRY(auto tail, catalog.ReadTail(record));
  Hasher hasher;
  hasher.Update(more);
  hasher.Update(stored.shape);
  hasher.Update(stored.chain);
  hasher.Update(tokens.data(), tokens.size() * sizeof(uint32_t));
  hasher.Update(tail);
  return hasher.Hex();
}

}  // namespace cairn
