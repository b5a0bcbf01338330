// The ladder's commit: blocks that become durable, as `ingest` makes them.
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "bench/ladder_tiers.h"
#include "storage/session_catalog.h"
#include "storage/tiered_store.h"

namespace cairn {
namespace {

constexpr uint32_t kSpareSlots = 64;

/// More than a slot and its entry in the table take.
uint64_t SlotBytes(uint64_t block_bytes) { return block_bytes + 64 + 96; }

class CommitCase final : public LadderCase {
 public:
  CommitCase(LadderKey key, std::string directory)
      : LadderCase(key, key.batch * key.block_bytes),
        directory_(std::move(directory)),
        payloads_(key.batch * key.block_bytes, 7) {}

  Status Prepare() override {
    CAIRN_TRY(cold_, RocksColdStore::Open(directory_, {.create = true}));
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold_, false));
    catalog_.emplace(std::move(catalog));
    CAIRN_TRY(record_, catalog_->Create("ladder", "{}"));
    CAIRN_TRY(extent_, catalog_->NewExtent());
    next_ = 0;
    TieredStoreOptions options;
    options.payload_bytes = key().block_bytes;
    options.host_bytes = (3 * uint64_t{key().batch} + kSpareSlots) * SlotBytes(key().block_bytes);
    CAIRN_TRY(tiers_, TieredStore::Open(options, *cold_));
    for (int i = 0; i < 3; ++i) CAIRN_TRY(Run(0, 1));  // until each slot was in use
    return Ok();
  }

  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      for (uint32_t i = 0; i < key().batch; ++i) {
        CAIRN_TRY(tiers_->Seal({.extent = extent_, .ordinal = next_ + i},
                               payloads_.all().subspan(i * key().block_bytes, key().block_bytes)));
      }
      CAIRN_TRY(tiers_->Flush(extent_));
      next_ += key().batch;
      record_.ranges = {{extent_, 0, next_}};
      record_.rows = record_.tokens = next_;
      ++record_.commits;
      CAIRN_TRY(catalog_->Commit(
          {.record = record_, .new_tokens = std::vector<uint32_t>(key().batch, 1)}));
    }
    return Ok();
  }

  void Finish() override {
    tiers_.reset();
    catalog_.reset();
    cold_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

 private:
  const std::string directory_;
  const RandomBytes payloads_;
  std::unique_ptr<RocksColdStore> cold_;
  std::optional<SessionCatalog> catalog_;
  std::unique_ptr<TieredStore> tiers_;
  SessionRecord record_;
  uint64_t extent_ = 0;
  uint32_t next_ = 0;
};

}  // namespace

std::unique_ptr<LadderCase> MakeCommit(LadderKey key, std::string directory) {
  return std::make_unique<CommitCase>(std::move(key), std::move(directory));
}

}  // namespace cairn
