// cairn inspect block: the keys and values of one block, in numbers.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/new_file.h"
#include "base/plain_text.h"
#include "tools/block_numbers.h"
#include "tools/inspectors.h"
#include "tools/print_json.h"
#include "tools/stored_session.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

Result<std::vector<std::byte>> ReadPayload(ColdStore& cold, const BlockId& id,
                                           size_t payload_bytes) {
  std::vector<std::byte> payload(payload_bytes);
  std::byte* const target = payload.data();
  CAIRN_TRY(cold.ReadBlocks({&id, 1}, payload.size(), {&target, 1}));
  return payload;
}

nlohmann::json NumbersJson(const ArrayNumbers& numbers) {
  nlohmann::json outliers = nlohmann::json::array();
  for (const OutlierChannel& channel : numbers.outliers) {
    outliers.push_back({{"channel", channel.channel}, {"largest", channel.largest}});
  }
  return {{"norm_min", numbers.norm_min},
          {"norm_mean", numbers.norm_mean},
          {"norm_max", numbers.norm_max},
          {"min", numbers.min},
          {"max", numbers.max},
          {"rms", numbers.rms},
          {"not_finite", numbers.not_finite},
          {"outliers", outliers}};
}

void PrintNumbers(const char* name, const ArrayNumbers& numbers) {
  std::string outliers;
  for (const OutlierChannel& channel : numbers.outliers) {
    outliers += fmt::format("{}{} ({:.2f})", outliers.empty() ? "" : ", ", channel.channel,
                            channel.largest);
  }
  fmt::print(
      "{:<10} norms of rows {:.3f} to {:.3f}, mean {:.3f}; numbers {:.3f} to {:.3f}, root "
      "mean square {:.3f}\n",
      name, numbers.norm_min, numbers.norm_max, numbers.norm_mean, numbers.min, numbers.max,
      numbers.rms);
  if (!outliers.empty()) fmt::print("{:<10} channels that stand out: {}\n", "", outliers);
  if (numbers.not_finite > 0) {
    fmt::print("{:<10} {} numbers are not finite\n", "", numbers.not_finite);
  }
}

class BlockInspector final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("block", "Keys and values of one block");
    flags_.AddStore(*command, true);
    command->add_option("ID", place_, "BLOCK/LAYER/HEAD: a block of the session, from 0")
        ->required();
    command
        ->add_option("--npy", npy_path_,
                     "Write keys and values as a NumPy array [2, rows, head dimension]")
        ->type_name("FILE");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(NewFile::Check(npy_path_));
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(const auto session, StoredSession::Find(catalog, flags_.session));
    CAIRN_TRY(const BlockPlace place,
              ParseBlockPlace(place_, session.shape, session.blocks.size()));
    const BlockId id = session.blocks.Id(place.block, place.layer, place.head);
    const BlockShape& shape = session.shape.block;
    CAIRN_TRY(const auto payload, ReadPayload(*cold, id, shape.payload_bytes()));
    if (!npy_path_.empty()) CAIRN_TRY(WriteNewFile(npy_path_, NpyOf(shape, payload)));
    Print(session, place, id, payload);
    return Ok();
  }

 private:
  void Print(const StoredSession& session, const BlockPlace& place, const BlockId& id,
             const std::vector<std::byte>& payload) const {
    const BlockShape& shape = session.shape.block;
    const bool landmark = session.shape.mode == AttentionMode::kLandmark;
    // The landmark's value is never read, and its key is told apart.
    const int32_t rows = shape.block_rows - (landmark ? 1 : 0);
    const ArrayNumbers keys = NumbersOf(shape, payload, BlockPart::kKeys, 0, rows);
    const ArrayNumbers values = NumbersOf(shape, payload, BlockPart::kValues, 0, rows);
    const int64_t tokens = session.shape.block_tokens();
    const int64_t first = place.block * tokens;
    nlohmann::json json{{"session", session.record.name},
                        {"block", place.block},
                        {"layer", place.layer},
                        {"head", place.head},
                        {"extent", id.extent},
                        {"ordinal", id.ordinal},
                        {"tokens", {first, first + tokens - 1}},
                        {"shape", {2, shape.block_rows, shape.head_dim}},
                        {"dtype", DTypeName(shape.dtype)},
                        {"payload_bytes", shape.payload_bytes()},
                        {"keys", NumbersJson(keys)},
                        {"values", NumbersJson(values)}};
    std::optional<ArrayNumbers> key;
    if (landmark) {
      key = NumbersOf(shape, payload, BlockPart::kKeys, shape.block_rows - 1, 1);
      json["landmark"] = NumbersJson(*key);
    }
    if (flags_.json) {
      PrintJson(json);
      return;
    }
    fmt::print("block      {} of session '{}', layer {}, KV head {}: tokens {} to {}\n",
               place.block, session.record.name, place.layer, place.head, first,
               first + tokens - 1);
    fmt::print("stored as  {}; checksum good\n", ToString(id));
    fmt::print("payload    keys and values, {} rows of {} {} each, {}\n", shape.block_rows,
               shape.head_dim, DTypeName(shape.dtype), FormatByteSize(shape.payload_bytes()));
    PrintNumbers("keys", keys);
    PrintNumbers("values", values);
    if (key.has_value()) {
      fmt::print("landmark   norm {:.3f}; numbers {:.3f} to {:.3f}\n", key->norm_max, key->min,
                 key->max);
    }
    if (!npy_path_.empty()) fmt::print("written to {}\n", ForTerminal(npy_path_));
  }

  Flags flags_;
  std::string place_, npy_path_;
};

}  // namespace

std::unique_ptr<Command> MakeBlockInspector() { return std::make_unique<BlockInspector>(); }

}  // namespace cairn
