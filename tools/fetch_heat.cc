#include "tools/fetch_heat.h"

#include "base/plain_text.h"

namespace cairn {
namespace {

constexpr size_t kPassageCharacters = 400;

}  // namespace

Status NamedTrace::CheckStore(uint64_t identity) const {
  if (source.store == 0 || identity == 0 || source.store == identity) return Ok();
  return Fail(Errc::kMismatch,
              "the trace {} was recorded with another store, or with one that this is a backup of: "
              "blocks of the same numbers need not be the same. Name that store, or record a trace "
              "with this one",
              path);
}

Result<NamedTrace> CountFetches(const std::string& trace_path) {
  CAIRN_TRY(const AccessLog log, ReadAccessLog(trace_path));
  NamedTrace trace{.path = trace_path, .counts = {}, .source = log.source};
  for (size_t i = 0; i < log.events.size(); ++i) {
    if (log.events[i].kind != AccessKind::kFetch) continue;
    for (const BlockId& id : log.Of(log.events[i])) {
      Fetches& fetches = trace.counts[id];
      ++fetches.count;
      fetches.last = static_cast<int64_t>(i);
    }
  }
  return trace;
}

TextHeat HeatOf(const FetchCounts& fetches, const StoredSession& session, const SessionText& text) {
  TextHeat heat{.blocks = session.blocks.size(),
                .layers = session.shape.layers,
                .what = "fetches",
                .percent = false,
                .scale = "the oftener it was fetched",
                .series = {{.label = "all KV heads", .cells = {}}},
                .passages = {}};
  for (int64_t block = 0; block < heat.blocks; ++block) {
    for (int32_t layer = 0; layer < heat.layers; ++layer) {
      double count = 0;
      for (int32_t head = 0; head < session.shape.kv_heads; ++head) {
        const auto found = fetches.find(session.blocks.Id(block, layer, head));
        if (found != fetches.end()) count += static_cast<double>(found->second.count);
      }
      if (count == 0) continue;
      heat.series[0].cells.push_back({block, layer, count});
      heat.passages[block] = {text.Begin(block), text.End(block) - 1,
                              Shortened(text.BlockText(block), kPassageCharacters)};
    }
  }
  return heat;
}

}  // namespace cairn
