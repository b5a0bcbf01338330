// FaultyColdStore: a ColdStore that fails on purpose, wrapped around one that works. For tests.
//
// Without orders it behaves as the store it wraps. Thread-safe as that store is.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/cold_store.h"

namespace cairn {

enum class ColdOperation {
  kWriteBlocks,
  kReadBlocks,
  kDropExtent,
  kExtents,
  kWriteMeta,
  kReadMeta,
  kScanMeta,
  kAny,
};

class FaultyColdStore final : public ColdStore {
 public:
  /// `inner` must outlive this.
  explicit FaultyColdStore(ColdStore& inner) : inner_(inner) {}

  /// The `nth` call from now on (1: the next) of the given kind fails with `code`, before it
  /// touches the inner store. Replaces the previous order of that kind.
  void FailNth(ColdOperation operation, uint64_t nth, Errc code = Errc::kIo);
  /// The next WriteMeta takes effect and fails all the same, as when only its sync fails.
  void FailAfterWriteMeta(Errc code = Errc::kIo);
  /// Takes back every order.
  void Heal();
  /// True if an order to fail is still to be carried out.
  bool Armed() const;
  /// Reads of `id` fail.
  void Damage(const BlockId& id, Errc code = Errc::kCorruption);
  /// WriteBlocks fails with kOutOfSpace once `bytes` more were written.
  void LimitSpace(uint64_t bytes);
  /// Calls of a kind so far, the failed ones too.
  uint64_t calls(ColdOperation operation) const;

  Status WriteBlocks(std::span<const BlockRecord> records) override;
  Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                    std::span<std::byte* const> targets) override;
  Status DropExtent(uint64_t extent, uint32_t from) override;
  Result<std::vector<uint64_t>> Extents() override;
  Status WriteMeta(const MetaBatch& batch) override;
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override;
  Result<MetaEntries> ScanMeta(std::string_view prefix) override;
  ColdStoreStats Stats() override { return inner_.Stats(); }

 private:
  static constexpr size_t kKinds = static_cast<size_t>(ColdOperation::kAny) + 1;
  struct Order {
    uint64_t left = 0;  // calls until the failure; 0: none ordered
    Errc code = Errc::kIo;
    uint64_t calls = 0;
  };

  Status Enter(ColdOperation operation);
  Status Count(Order& order, const char* name);

  ColdStore& inner_;
  mutable std::mutex mutex_;
  std::array<Order, kKinds> orders_;
  std::map<BlockId, Errc> damaged_;
  std::optional<uint64_t> space_left_bytes_;
  std::optional<Errc> after_write_meta_;
};

}  // namespace cairn
