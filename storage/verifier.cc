#include "storage/verifier.h"

#include <algorithm>
#include <utility>

#include "storage/catalog_format.h"

namespace cairn {
namespace {

Result<std::string> ReadEntry(ColdStore& cold, std::string_view key) {
  CAIRN_TRY(std::optional<std::string> value, cold.ReadMeta(key));
  if (value) return OpenValue(key, std::move(*value));
  return Fail(Errc::kCorruption, "the catalog entry {} is not there", DescribeKey(key));
}

uint64_t BlocksIn(const SessionRecord& record) {
  uint64_t blocks = 0;
  for (const ExtentRange& range : record.ranges) blocks += range.count;
  return blocks;
}

}  // namespace

void Verifier::AddEntry(const std::string& session, std::string what, Errc code) {
  damages_.push_back({.session = session, .what = std::move(what), .code = code});
}

const Damage* Verifier::Worst() const {
  const auto damaged = std::ranges::find_if_not(damages_, &Damage::unreadable);
  if (damaged != damages_.end()) return &*damaged;
  return damages_.empty() ? nullptr : &damages_.front();
}

void Verifier::AddBlock(const std::string& session, const BlockId& id, uint64_t ordinal,
                        const Error& error) {
  damages_.push_back({.session = session,
                      .block = id,
                      .ordinal = ordinal,
                      .what = error.message,
                      .code = error.code});
}

MetaEntries Verifier::Scan(const std::string& session, std::string_view prefix) {
  Result<MetaEntries> entries = cold_.ScanMeta(prefix);
  if (!entries) {
    AddEntry(session,
             fmt::format("the catalog entries {}… cannot be read: {}", DescribeKey(prefix),
                         entries.error().message),
             entries.error().code);
    return {};
  }
  totals_.entries += entries.value().size();
  return std::move(entries).value();
}

Result<std::vector<SessionRecord>> Verifier::CheckStore() {
  const Result<std::string> format = ReadEntry(cold_, kFormatKey);
  const Result<uint32_t> version = format ? DecodeFormat(format.value()) : format.as_failure();
  if (!version) AddEntry("", version.error().message, version.error().code);
  if (version) CAIRN_TRY(CheckFormatVersion(version.value(), "at hand"));
  const Result<std::string> next = ReadEntry(cold_, kNextKey);
  const Result<NextIds> ids = next ? DecodeNext(next.value()) : next.as_failure();
  if (!ids) AddEntry("", ids.error().message, ids.error().code);
  totals_.entries += 2;

  std::vector<SessionRecord> records;
  for (auto& [key, value] : Scan("", kSessionPrefix)) {
    ++totals_.sessions;
    const std::string name(NameInKey(key));
    const Result<std::string> body = OpenValue(key, std::move(value));
    Result<SessionRecord> record =
        body ? DecodeSession(key, body.value()) : Result<SessionRecord>(body.as_failure());
    if (record) {
      records.push_back(std::move(record).value());
    } else {
      AddEntry(name, record.error().message);
    }
  }
  return records;
}

uint64_t Verifier::CheckTokens(const SessionRecord& record) {
  const auto missing = [&](uint64_t first, uint64_t end) {
    AddEntry(record.name, fmt::format("tokens {} to {} are not in the store", first, end - 1));
  };
  const size_t damages = damages_.size();
  uint64_t next = 0, whole = 0;
  bool known = true;  // how far the entries reach: not behind one that is damaged
  for (auto& [key, value] : Scan(record.name, TokensPrefix(record.id))) {
    const Result<uint64_t> first = FirstTokenInKey(key);
    const Result<std::string> body = OpenValue(key, std::move(value));
    const auto tokens =
        body ? DecodeTokens(key, body.value()) : Result<std::vector<uint32_t>>(body.as_failure());
    if (!first) AddEntry(record.name, first.error().message);
    if (!tokens) AddEntry(record.name, "tokens: " + tokens.error().message);
    if (first && known && first.value() > next) missing(next, first.value());
    known = first && tokens;
    if (!known) continue;
    next = first.value() + tokens.value().size();
    if (first.value() == whole && damages_.size() == damages) whole = next;
  }
  if (known && next < record.tokens && (next > 0 || damages_.size() == damages)) {
    missing(next, record.tokens);
  }
  return std::min(whole, record.tokens);
}

uint64_t Verifier::CheckEntries(const SessionRecord& record) {
  const uint64_t tokens = CheckTokens(record);
  if (record.tail_bytes == 0) return tokens;
  ++totals_.entries;
  const Result<std::string> tail = ReadEntry(cold_, TailKey(record.id));
  if (!tail) {
    AddEntry(record.name, "the unfinished block: " + tail.error().message, tail.error().code);
  } else if (tail.value().size() != record.tail_bytes) {
    AddEntry(record.name, fmt::format("the unfinished block has {} bytes instead of {}",
                                      tail.value().size(), record.tail_bytes));
  }
  return tokens;
}

uint64_t Verifier::CheckLayer(const SessionRecord& record, const ExtentRange& range, uint16_t layer,
                              uint16_t type) {
  const uint64_t end = uint64_t{range.first} + range.count;
  uint64_t covered = 0, reach = range.first;
  const size_t damages = damages_.size();
  for (auto& [key, value] : Scan(record.name, SectionsPrefix(range.extent, layer))) {
    if (FirstBlockInKey(key) >= end) continue;  // of other sessions, or of none
    const Result<std::string> body = OpenValue(key, std::move(value));
    const auto section =
        body ? DecodeSection(key, body.value()) : Result<SummarySection>(body.as_failure());
    if (!section) {
      AddEntry(record.name,
               fmt::format("summaries of layer {}: {}", layer, section.error().message));
      reach = std::clamp<uint64_t>(FirstBlockInKey(key), range.first, reach);
      continue;
    }
    if (section.value().type != type) continue;
    const uint64_t first = std::max(section.value().first, range.first);
    const uint64_t last = std::min(uint64_t{section.value().first} + section.value().count, end);
    covered += last > first ? last - first : 0;
    if (first <= reach && damages_.size() == damages) reach = std::max(reach, last);
  }
  if (covered != range.count && damages_.size() == damages) {
    AddEntry(record.name, fmt::format("layer {} has summaries of {} blocks of extent {}, not of {}",
                                      layer, covered, range.extent, range.count));
  }
  return reach;
}

uint64_t Verifier::CheckSections(const SessionRecord& record, const BlockGrid& grid,
                                 uint16_t type) {
  uint64_t whole = BlocksIn(record), before = 0;
  for (const ExtentRange& range : record.ranges) {
    for (uint16_t layer = 0; layer < grid.layers; ++layer) {
      const uint64_t reach = CheckLayer(record, range, layer, type) - range.first;
      if (reach < range.count) whole = std::min(whole, before + reach);
    }
    before += range.count;
  }
  return whole;
}

Result<WholeBlocks> Verifier::CheckBlocks(const SessionRecord& record, const BlockGrid& grid,
                                          uint16_t section_type, Watch watch) {
  size_t damages = damages_.size();
  WholeBlocks whole{BlocksIn(record), CheckSections(record, grid, section_type)};
  for (; damages < damages_.size(); ++damages) damages_[damages].summary = true;
  uint64_t ordinal = 0;
  for (const ExtentRange& range : record.ranges) {
    CAIRN_TRY(CheckRange(record, grid, range, ordinal, watch));
    ordinal += range.count;
  }
  for (size_t i = damages; i < damages_.size(); ++i) {
    whole.payloads = std::min(whole.payloads, damages_[i].ordinal);
  }
  return whole;
}

Status Verifier::CheckRange(const SessionRecord& record, const BlockGrid& grid,
                            const ExtentRange& range, uint64_t ordinal, Watch watch) {
  CheckedExtent& checked = extents_[range.extent];
  const uint64_t end = uint64_t{range.first} + range.count;
  const uint64_t from = std::clamp<uint64_t>(checked.end, range.first, end);
  for (const auto& [id, error] : checked.damaged) {
    if (id.ordinal < range.first || id.ordinal >= from) continue;
    AddBlock(record.name, id, ordinal + id.ordinal - range.first, error);
  }
  const auto rest = static_cast<uint32_t>(end - from);
  BlockScan scan(cold_, grid, {{range.extent, static_cast<uint32_t>(from), rest}});
  const uint64_t total = BlocksIn(record), before = ordinal + from - range.first;
  while (true) {
    CAIRN_TRY(watch(before + scan.done(), total));
    const auto blocks = scan.Next();
    if (blocks.empty()) break;
    for (const ScannedBlock& block : blocks) {
      ++totals_.blocks;
      totals_.payload_bytes += grid.payload_bytes;
      if (block.status) continue;
      const Error& error = block.status.error();
      checked.damaged.emplace(block.id, error);
      AddBlock(record.name, block.id, before + block.ordinal, error);
    }
  }
  if (range.first <= checked.end) checked.end = std::max(checked.end, end);
  return Ok();
}

}  // namespace cairn
