// RecordFilter: sees the block records that RocksDB rewrites when it merges table files. Part of
// RocksColdStore. Thread-safe.
#pragma once

#include <rocksdb/compaction_filter.h>

#include <mutex>
#include <string>

#include "storage/live_blocks.h"
#include "storage/rocks_cold_store.h"

namespace cairn {

/// Leaves out what nobody covers and checks the rest, between Begin and End.
class RecordFilter final : public rocksdb::CompactionFilter {
 public:
  const char* Name() const override { return "cairn.RecordFilter"; }
  bool Filter(int level, const rocksdb::Slice& key, const rocksdb::Slice& value,
              std::string* new_value, bool* value_changed) const override;

  /// `live` may be null: then all stays. Both must outlive the work until End.
  void Begin(const LiveBlocks* live, CompactionReport* report);
  void End() { Begin(nullptr, nullptr); }

 private:
  mutable std::mutex mutex_;
  const LiveBlocks* live_ = nullptr;
  CompactionReport* report_ = nullptr;
};

}  // namespace cairn
