// What the engine keeps in a session's properties: the shape its blocks were made with, and the
// running hash of their payloads. Layers above add a text of their own.
#pragma once

#include <string>

#include "base/error.h"
#include "engine/options.h"
#include "storage/block_scan.h"

namespace cairn {

struct StoredShape {
  std::string shape;       ///< canonical JSON of the fixed part of SessionShape
  std::string chain;       ///< hash chain over sealed payloads, in session order
  std::string properties;  ///< of the layers above; opaque
};

/// The parts of a shape that stored bytes depend on, as canonical JSON.
std::string DescribeShape(const SessionShape& shape);
/// The shape that DescribeShape gives this text for; its other parts are not known. kCorruption for
/// any other text.
Result<SessionShape> ParseShape(const std::string& text);
/// Type of the sections that hold representatives.
uint16_t SummaryType(AttentionMode mode);
/// Type of the sections that hold what bounds are made from: landmarks, or sketches of keys, which
/// a session need not have.
uint16_t KeyBoundType(AttentionMode mode);
/// The blocks a session of this shape has of each ordinal.
BlockGrid GridOf(const SessionShape& shape);

std::string ToJson(const StoredShape& stored);
/// kCorruption if the text is not what ToJson writes.
Result<StoredShape> ParseStoredShape(const std::string& json);

}  // namespace cairn
