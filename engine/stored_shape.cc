#include "engine/stored_shape.h"

#include <nlohmann/json.hpp>

namespace cairn {

std::string DescribeShape(const SessionShape& shape) {
  const nlohmann::json json{
      {"mode", AttentionModeName(shape.mode)},   {"layers", shape.layers},
      {"query_heads", shape.query_heads},        {"kv_heads", shape.kv_heads},
      {"head_dim", shape.block.head_dim},        {"block_rows", shape.block.block_rows},
      {"kv_type", DTypeName(shape.block.dtype)}, {"representatives", shape.representatives}};
  return json.dump();
}

Result<SessionShape> ParseShape(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto number = [&](const char* name) {
    const bool there = json.is_object() && json.contains(name) && json[name].is_number_integer();
    return there ? json[name].get<int32_t>() : 0;
  };
  const auto word = [&](const char* name) {
    const bool there = json.is_object() && json.contains(name) && json[name].is_string();
    return there ? json[name].get<std::string>() : std::string();
  };
  SessionShape shape;
  shape.layers = number("layers");
  shape.query_heads = number("query_heads");
  shape.kv_heads = number("kv_heads");
  shape.block.head_dim = number("head_dim");
  shape.block.block_rows = number("block_rows");
  if (const auto dtype = ParseDType(word("kv_type"))) shape.block.dtype = dtype.value();
  shape.representatives = number("representatives");
  if (word("mode") == AttentionModeName(AttentionMode::kLandmark)) {
    shape.mode = AttentionMode::kLandmark;
  }
  if (DescribeShape(shape) != text || !shape.CheckNumbers().has_value()) {
    return Fail(Errc::kCorruption, "the session's shape is not what this program writes");
  }
  return shape;
}

namespace {

constexpr uint16_t kLandmarkKeys = 1, kSubBlockMeans = 2, kKeySketches = 3;

}  // namespace

uint16_t SummaryType(AttentionMode mode) {
  return mode == AttentionMode::kLandmark ? kLandmarkKeys : kSubBlockMeans;
}

uint16_t KeyBoundType(AttentionMode mode) {
  return mode == AttentionMode::kLandmark ? kLandmarkKeys : kKeySketches;
}

BlockGrid GridOf(const SessionShape& shape) {
  return {static_cast<uint16_t>(shape.layers), static_cast<uint16_t>(shape.kv_heads),
          shape.block.payload_bytes()};
}

std::string ToJson(const StoredShape& stored) {
  return nlohmann::json{
      {"shape", stored.shape}, {"chain", stored.chain}, {"properties", stored.properties}}
      .dump();
}

Result<StoredShape> ParseStoredShape(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto field = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string();
  };
  if (!field("shape") || !field("chain") || !field("properties")) {
    return Fail(Errc::kCorruption, "the session's properties are not what this program writes");
  }
  return StoredShape{json["shape"], json["chain"], json["properties"]};
}

}  // namespace cairn
