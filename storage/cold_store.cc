#include "storage/cold_store.h"

namespace cairn {

Status CheckWriteOrder(std::span<const BlockRecord> records) {
  for (size_t i = 1; i < records.size(); ++i) {
    if (records[i].id <= records[i - 1].id) {
      return Fail(Errc::kInvalidArgument, "records must be sorted by id: {} comes after {}",
                  ToString(records[i].id), ToString(records[i - 1].id));
    }
  }
  return Ok();
}

Error WrittenBefore(const BlockId& id) {
  return Fail(Errc::kInvalidArgument, "{} does not come behind what was written to its extent",
              ToString(id));
}

Error BlockAbsent(const BlockId& id) {
  return Fail(Errc::kNotFound,
              "{} is not in the store; `cairn repair` with --session and --model computes it again",
              ToString(id));
}

Error BlockOfOtherSize(const BlockId& id, size_t found_bytes, size_t payload_bytes) {
  return Fail(Errc::kCorruption,
              "{} has {} bytes in the store instead of {}; the store was written with another "
              "block shape or is damaged",
              ToString(id), found_bytes, payload_bytes);
}

}  // namespace cairn
