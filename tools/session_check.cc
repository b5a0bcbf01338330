#include "tools/session_check.h"

#include <algorithm>
#include <span>

#include "base/progress.h"
#include "engine/stored_shape.h"
#include "tools/interrupt.h"

namespace cairn {

Result<SessionCheck> CheckSession(const SessionRecord& record, bool quiet, Verifier& verifier) {
  SessionCheck check;
  const size_t before = verifier.damages().size();
  check.tokens = verifier.CheckEntries(record);
  const auto stored = ParseStoredShape(record.properties);
  const auto shape = stored ? ParseShape(stored.value().shape) : stored.as_failure();
  if (!shape) {
    verifier.Add({.session = record.name, .what = shape.error().message});
    return check;
  }
  uint64_t blocks = 0;
  for (const ExtentRange& range : record.ranges) blocks += range.count;
  if (record.rows / static_cast<uint64_t>(shape.value().block.block_rows) != blocks) {
    verifier.Add({.session = record.name,
                  .what = fmt::format("it has {} rows and {} blocks of {}", record.rows, blocks,
                                      shape.value().block.block_rows)});
  }
  Progress progress(quiet);
  const auto watch = [&](uint64_t done, uint64_t total) -> Status {
    if (progress.Due()) {
      progress.Show(
          fmt::format("session '{}': {} of {} blocks, {} damaged", record.name, done, total,
                      std::ranges::count(verifier.damages(), false, &Damage::unreadable)));
    }
    if (!Interrupted()) return Ok();
    return Fail(Errc::kInterrupted, "stopped; not everything was read");
  };
  CAIRN_TRY(check.blocks, verifier.CheckBlocks(record, GridOf(shape.value()),
                                               SummaryType(shape.value().mode), watch));
  check.block_tokens = shape.value().block_tokens();
  const auto found = std::span(verifier.damages()).subspan(before);
  check.only_summaries = std::ranges::all_of(found, &Damage::summary);
  return check;
}

}  // namespace cairn
