#include "engine/summary.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "engine/stored_shape.h"
#include "kernels/append.h"
#include "storage/block_scan.h"

namespace cairn {
namespace {

constexpr uint32_t kBlocksOfASection = 1024;

/// Adds a block's summaries to the layers' last sections, or to new ones.
void AddBlock(const SessionShape& shape, std::span<const ScannedBlock> parts,
              std::vector<std::vector<SummarySection>>& layers) {
  std::vector<float> scratch(static_cast<size_t>(shape.representatives) * shape.block.head_dim);
  const size_t bytes = SummaryBytes(shape) / static_cast<size_t>(shape.kv_heads);
  for (const ScannedBlock& part : parts) {
    std::vector<SummarySection>& sections = layers[part.id.layer];
    if (part.id.head == 0) {
      if (sections.empty() || sections.back().count == kBlocksOfASection) {
        sections.push_back({.type = SummaryType(shape.mode),
                            .version = 1,
                            .extent = part.id.extent,
                            .layer = part.id.layer,
                            .first = part.id.ordinal});
      }
      ++sections.back().count;
    }
    std::string& packed = sections.back().bytes;
    packed.resize(packed.size() + bytes);
    SummarizeHead(shape, part.payload.data(), scratch.data(),
                  packed.data() + packed.size() - bytes);
  }
}

}  // namespace

DType SummaryDType(const SessionShape& shape) {
  const bool exact = shape.mode == AttentionMode::kLandmark || shape.block.dtype == DType::kF32;
  return exact ? shape.block.open().dtype : DType::kBF16;
}

size_t SummaryBytes(const SessionShape& shape) {
  return static_cast<size_t>(shape.kv_heads) * shape.representatives * shape.block.head_dim *
         DTypeBytes(SummaryDType(shape));
}

void SummarizeHead(const SessionShape& shape, const std::byte* payload, float* scratch,
                   char* target) {
  if (shape.mode == AttentionMode::kLandmark) {
    LandmarkKey(shape.block, payload, scratch);
  } else {
    SubBlockMeans(shape.block, payload, shape.representatives, scratch);
  }
  ConvertFromFloat(SummaryDType(shape), scratch, target,
                   static_cast<size_t>(shape.representatives) * shape.block.head_dim);
}

Status RebuildSummaries(ColdStore& cold, SessionCatalog& catalog, const SessionRecord& session,
                        std::span<const SessionRecord> all, RebuildWatch watch) {
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(session.properties));
  CAIRN_TRY(const SessionShape shape, ParseShape(stored.shape));
  const size_t parts = GridOf(shape).blocks();
  std::set<uint64_t> extents;
  for (const ExtentRange& range : session.ranges) extents.insert(range.extent);
  for (const uint64_t extent : extents) {
    uint64_t end = 0;
    for (const SessionRecord& record : all) {
      for (const ExtentRange& range : record.ranges) {
        if (range.extent == extent) end = std::max(end, uint64_t{range.first} + range.count);
      }
    }
    BlockScan scan(cold, GridOf(shape), {{extent, 0, static_cast<uint32_t>(end)}});
    std::vector<std::vector<SummarySection>> layers(static_cast<size_t>(shape.layers));
    uint32_t whole = 0;
    for (bool going_on = true; going_on;) {
      CAIRN_TRY(watch(scan.done(), scan.total()));
      const auto blocks = scan.Next();
      going_on = !blocks.empty();
      for (size_t i = 0; i < blocks.size() && going_on; i += parts) {
        const auto block = blocks.subspan(i, parts);
        for (const ScannedBlock& part : block) {
          if (part.status) continue;
          if (IsUnreadable(part.status.error().code)) return part.status;
          going_on = false;
        }
        if (!going_on) break;
        AddBlock(shape, block, layers);
        ++whole;
      }
    }
    std::vector<SummarySection> sections;
    for (auto& layer : layers) {
      for (SummarySection& section : layer) sections.push_back(std::move(section));
    }
    CAIRN_TRY(catalog.ReplaceSections(extent, whole, sections));
  }
  return Ok();
}

}  // namespace cairn
