#include "storage/rocks_record_filter.h"

#include <span>

#include "storage/block_format.h"

namespace cairn {

void RecordFilter::Begin(const LiveBlocks* live, CompactionReport* report) {
  const std::lock_guard lock(mutex_);
  live_ = live;
  report_ = report;
}

bool RecordFilter::Filter(int /*level*/, const rocksdb::Slice& key, const rocksdb::Slice& value,
                          std::string* /*new_value*/, bool* /*value_changed*/) const {
  const std::lock_guard lock(mutex_);
  if (report_ == nullptr) return false;
  const Result<BlockId> id = DecodeBlockKey(key.ToStringView());
  if (!id) return false;
  if (live_ != nullptr && !live_->Covers(id.value())) {
    ++report_->dropped_records;
    return true;
  }
  ++report_->kept_records;
  const Status whole =
      VerifyRecord(id.value(), std::as_bytes(std::span(value.data(), value.size())));
  if (whole) return false;
  report_->AddDamage(whole.error().message);
  return false;  // as it is: repair decides
}

}  // namespace cairn
