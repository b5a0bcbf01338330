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
