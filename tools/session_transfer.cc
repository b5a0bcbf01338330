#include "tools/session_transfer.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "base/progress.h"
#include "base/tell.h"
#include "engine/payload_chain.h"
#include "engine/stored_shape.h"
#include "storage/session_import.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

/// Shows how far it is, and ends it after Ctrl-C with what is true then.
class TransferProgress {
 public:
  TransferProgress(const Flags& flags, std::string what, std::string unit)
      : progress_(flags.quiet), what_(std::move(what)), unit_(std::move(unit)) {}
  Status operator()(uint64_t done, uint64_t total) {
    if (progress_.Due()) progress_.Show(fmt::format("{} {} of {} {}", what_, done, total, unit_));
    if (!Interrupted()) return Ok();
    return Fail(Errc::kInterrupted, "stopped; nothing has changed");
  }

 private:
  Progress progress_;
  std::string what_, unit_;
};

/// Reads a file to its end and checks that it is a session which this program could go on with.
Result<ExportedSession> CheckFile(const Flags& flags, const std::string& path) {
  TransferProgress progress(flags, "checked", "bytes");
  std::string chain;
  CAIRN_TRY(auto session,
            ReadSessionFile(
                path,
                [&](const ExportedSession& so_far, uint32_t, std::span<const std::byte> payloads) {
                  chain = ExtendChain(std::move(chain), so_far.grid, payloads);
                  return Status(Ok());
                },
                progress));
  const SessionRecord& record = session.record;
  CAIRN_TRY(const auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(const auto shape, ParseShape(stored.shape));
  CAIRN_TRY(SessionProfile::FromJson(stored.properties));
  const uint64_t blocks = record.rows / static_cast<uint64_t>(shape.block.block_rows);
  if (GridOf(shape) == session.grid && blocks == session.blocks && chain == stored.chain) {
    return session;
  }
  return Fail(Errc::kCorruption,
              "the blocks in {} are not those that its session had; export the session again",
              path);
}

}  // namespace

Status ExportToFile(const Flags& flags, const std::string& path) {
  CAIRN_TRY(auto cold, OpenStore(flags, false, true));
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, true));
  CAIRN_TRY(auto record, catalog.Find(flags.session));
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(auto shape, ParseShape(stored.shape));
  TransferProgress progress(flags, "exported", "blocks");
  CAIRN_TRY(const uint64_t bytes,
            ExportSession(*cold, catalog, record, GridOf(shape), path, progress));
  if (flags.json) {
    PrintJson(nlohmann::json{{"exported", record.name},
                             {"tokens", record.tokens},
                             {"file", path},
                             {"file_bytes", bytes}});
  } else if (!flags.quiet) {
    Tell("session '{}' with {} tokens is in {}, {}\n", record.name, record.tokens,
         ForTerminal(path), FormatByteSize(bytes));
  }
  return Ok();
}

Status ImportFromFile(const Flags& flags, const std::string& path) {
  CAIRN_TRY(auto session, CheckFile(flags, path));
  const std::string name = flags.session.empty() ? session.record.name : flags.session;
  CAIRN_TRY(auto cold, OpenStore(flags, true, false));
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, false));
  TransferProgress progress(flags, "imported", "bytes");
  const auto imported = ImportSession(*cold, catalog, path, name, progress);
  if (!imported) GiveUpNewStore(*cold, catalog);
  CAIRN_TRY(const auto record, imported);
  if (flags.json) {
    PrintJson(nlohmann::json{{"imported", record.name},
                             {"tokens", record.tokens},
                             {"blocks", session.blocks},
                             {"payload_bytes", session.blocks * session.grid.bytes()}});
  } else if (!flags.quiet) {
    Tell("session '{}' has {} tokens, {} of keys and values\n", record.name, record.tokens,
         FormatByteSize(session.blocks * session.grid.bytes()));
  }
  return Ok();
}

}  // namespace cairn
