// cairn backup: a copy of a whole store as it was at one moment, also beside a writer.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "base/progress.h"
#include "base/tell.h"
#include "engine/stored_shape.h"
#include "storage/store_copy.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"
#include "tools/session_check.h"
#include "tools/store_check.h"
#include "tools/unfinished_store.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

class BackupCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("backup", "Copy a whole store, also beside a writer");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_option("TARGET", target_, "Directory of the copy, which must not be there")
        ->required();
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(OpenStore(flags_, false, true));  // a mistake in its name must leave nothing behind
    CAIRN_TRY(CheckOutside());
    UnfinishedStore unfinished(target_);
    CAIRN_TRY(unfinished.Make());
    Flags copied = flags_;
    copied.store = unfinished.path();
    {
      CAIRN_TRY(auto target, OpenStore(copied, true, false));
      StoreCopy copy(*target);
      CAIRN_TRY(Copy(copy));
      // Drops what was copied of sessions that a writer deleted meanwhile.
      CAIRN_TRY(SessionCatalog::Open(*target, false));
    }
    CAIRN_TRY(const VerifyTotals totals, Verify(copied));
    CAIRN_TRY(unfinished.Finish());
    Report(totals);
    return Ok();
  }

 private:
  /// A copy inside the store would be a foreign thing in it.
  Status CheckOutside() const {
    std::error_code unknown;  // is an error of making it
    const auto store = std::filesystem::canonical(flags_.store, unknown);
    const auto target =
        std::filesystem::weakly_canonical(std::filesystem::absolute(target_, unknown), unknown);
    const auto parting = std::ranges::mismatch(store, target);
    if (unknown || parting.in1 != store.end() || parting.in2 == target.end()) return Ok();
    return Fail(Errc::kInvalidArgument,
                "{} is inside the store {}; name another place for the copy", target_,
                flags_.store);
  }

  /// A writer may take files away that a view of the store still needs; then the copy goes on from
  /// a later view. What fails twice in the same words is damage, or beyond us.
  Status Copy(StoreCopy& copy) const {
    constexpr int kMostViews = 100;
    Status status = CopyView(copy);
    for (int view = 1; !status && view < kMostViews; ++view) {
      const Error error = status.error();
      if (error.code == Errc::kInterrupted || error.code == Errc::kOutOfSpace) break;
      status = CopyView(copy);
      if (!status && status.error().message == error.message) break;
    }
    return status;
  }

  Status CopyView(StoreCopy& copy) const {
    CAIRN_TRY(auto source, OpenStore(flags_, false, true));
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*source, true));
    CAIRN_TRY(auto all, catalog.List());
    for (const UnreadableSession& session : all.unreadable) {
      return Fail(Errc::kCorruption, "session '{}' cannot be copied: {}", session.name,
                  session.what);
    }
    std::vector<CopiedSession> sessions;
    for (SessionRecord& record : all.sessions) {
      CAIRN_TRY(const auto stored, ParseStoredShape(record.properties));
      CAIRN_TRY(const auto shape, ParseShape(stored.shape));
      sessions.push_back({std::move(record), GridOf(shape)});
    }
    Progress progress(flags_.quiet);
    CAIRN_TRY(copy.CopyBlocks(*source, sessions, [&](uint64_t done, uint64_t total) -> Status {
      if (progress.Due()) progress.Show(fmt::format("copied {} of {} blocks", done, total));
      if (!Interrupted()) return Ok();
      return Fail(Errc::kInterrupted, "stopped; there is no copy");
    }));
    return copy.CopyCatalog(*source, sessions);
  }

  Result<VerifyTotals> Verify(const Flags& copied) const {
    CAIRN_TRY(auto cold, OpenStore(copied, false, true));
    Verifier verifier(*cold);
    CAIRN_TRY(const auto records, verifier.CheckStore());
    for (const SessionRecord& record : records) {
      CAIRN_TRY(CheckSession(record, flags_.quiet, verifier));
    }
    const Damage* const worst = verifier.Worst();
    if (worst == nullptr) return verifier.totals();
    if (worst->unreadable()) return CannotBeRead(*worst, copied.store);
    return Fail(
        Errc::kCorruption, "the copy is damaged, as `cairn verify` may say of the store {}: {}{}",
        flags_.store, worst->session.empty() ? "" : fmt::format("session '{}': ", worst->session),
        worst->what);
  }

  void Report(const VerifyTotals& totals) const {
    if (flags_.json) {
      PrintJson(nlohmann::json{{"backup", target_},
                               {"sessions", totals.sessions},
                               {"block_records", totals.blocks},
                               {"payload_bytes", totals.payload_bytes}});
    } else if (!flags_.quiet) {
      Tell("{} has {} sessions and {} of keys and values; all of it was verified\n",
           ForTerminal(target_), totals.sessions, FormatByteSize(totals.payload_bytes));
    }
  }

  Flags flags_;
  std::string target_;
};

}  // namespace

std::unique_ptr<Command> MakeBackupCommand() { return std::make_unique<BackupCommand>(); }

}  // namespace cairn
