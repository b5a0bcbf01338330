#include "storage/session_export.h"

#include <vector>

#include "storage/byte_reader.h"
#include "storage/session_file.h"

namespace cairn {
namespace {

std::string SessionBody(const SessionRecord& record, const BlockGrid& grid, uint64_t blocks) {
  std::string body;
  AppendBytes(body, record.tokens);
  AppendBytes(body, record.rows);
  AppendBytes(body, record.tail_bytes);
  AppendBytes(body, record.commits);
  AppendBytes(body, blocks);
  AppendBytes(body, uint64_t{grid.payload_bytes});
  AppendBytes(body, grid.layers);
  AppendBytes(body, grid.heads);
  AppendBytes(body, static_cast<uint32_t>(record.name.size()));
  return body + record.name + record.properties;
}

std::string SectionBody(const SummarySection& section, uint64_t first) {
  std::string body;
  AppendBytes(body, section.type);
  AppendBytes(body, section.version);
  AppendBytes(body, section.layer);
  AppendBytes(body, uint16_t{0});
  AppendBytes(body, static_cast<uint32_t>(first));
  AppendBytes(body, section.count);
  return body + section.bytes;
}

/// Each range's sections by layer, renumbered from places in extents to places in the session.
Status AddSections(SessionFileWriter& file, const SessionCatalog& catalog,
                   const SessionRecord& record, const BlockGrid& grid) {
  uint64_t before = 0;
  for (const ExtentRange& range : record.ranges) {
    SessionRecord part = record;
    part.ranges = {range};
    for (uint16_t layer = 0; layer < grid.layers; ++layer) {
      CAIRN_TRY(const auto sections, catalog.ReadSections(part, std::nullopt, layer));
      for (const SummarySection& section : sections) {
        const uint64_t first = before + section.first - range.first;
        CAIRN_TRY(file.Add(PartKind::kSection, SectionBody(section, first)));
      }
    }
    before += range.count;
  }
  return Ok();
}

Status AddBlocks(SessionFileWriter& file, BlockScan& scan, const BlockGrid& grid,
                 TransferWatch watch) {
  std::string body;
  while (true) {
    CAIRN_TRY(watch(scan.done(), scan.total()));
    const auto blocks = scan.Next();
    if (blocks.empty()) return Ok();
    body.clear();
    AppendBytes(body, static_cast<uint32_t>(blocks[0].ordinal));
    AppendBytes(body, static_cast<uint32_t>(blocks.size() / grid.blocks()));
    for (const ScannedBlock& block : blocks) {
      CAIRN_TRY(block.status);
      body.append(reinterpret_cast<const char*>(block.payload.data()), block.payload.size());
    }
    CAIRN_TRY(file.Add(PartKind::kBlocks, body));
  }
}

}  // namespace

Result<uint64_t> ExportSession(ColdStore& cold, const SessionCatalog& catalog,
                               const SessionRecord& record, const BlockGrid& grid,
                               const std::string& path, TransferWatch watch) {
  CAIRN_TRY(const std::vector<uint32_t> tokens, catalog.ReadTokens(record));
  CAIRN_TRY(const std::string tail, catalog.ReadTail(record));
  CAIRN_TRY(SessionFileWriter file, SessionFileWriter::Create(path));
  BlockScan scan(cold, grid, record.ranges);
  CAIRN_TRY(file.Add(PartKind::kSession, SessionBody(record, grid, scan.total())));
  if (!tokens.empty()) {
    CAIRN_TRY(file.Add(PartKind::kTokens,
                       {reinterpret_cast<const char*>(tokens.data()), tokens.size() * 4}));
  }
  if (!tail.empty()) CAIRN_TRY(file.Add(PartKind::kTail, tail));
  CAIRN_TRY(AddSections(file, catalog, record, grid));
  CAIRN_TRY(AddBlocks(file, scan, grid, watch));
  CAIRN_TRY(file.Finish());
  return file.bytes();
}

}  // namespace cairn
