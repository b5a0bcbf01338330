// cairn compact: give back what nobody uses, and put together what lies in small segments.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "base/progress.h"
#include "base/tell.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_catalog.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

class CompactCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("compact", "Free what nobody uses, and merge small files");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_option("--disk-limit", flags_.disk_limit, "Most the store may occupy")
        ->type_name("SIZE");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    RocksColdStoreOptions options;
    CAIRN_TRY(options.disk_limit_bytes, flags_.DiskLimit());
    CAIRN_TRY(auto store, RocksColdStore::Open(flags_.store, options));
    before_ = store->Stats();
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*store, false));  // which drops what a crash left
    CAIRN_TRY(const SessionList all, catalog.List());
    if (!all.unreadable.empty() && !flags_.quiet) {
      Tell(
          "some sessions cannot be read, so what no other one has stays too; `cairn verify` "
          "names them\n");
    }
    CAIRN_TRY(removed_entries_, catalog.RemoveLeftovers());
    Progress progress(flags_.quiet);
    const Status done = store->Compact(
        [&](uint64_t bytes, uint64_t total) -> Status {
          if (progress.Due()) {
            progress.Show(
                fmt::format("{} of {} copied", FormatByteSize(bytes), FormatByteSize(total)));
          }
          if (!Interrupted()) return Ok();
          return Fail(Errc::kInterrupted,
                      "stopped; what was compacted so far stays so, and the store is whole");
        },
        report_);
    progress.Finish();
    CAIRN_TRY(done);
    return Report(store->Stats());
  }

 private:
  Status Report(const ColdStoreStats& after) const {
    if (flags_.json) {
      const nlohmann::json json{
          {"bytes_before", before_.disk_bytes},         {"bytes_after", after.disk_bytes},
          {"files_before", before_.data_files},         {"files_after", after.data_files},
          {"rewritten_bytes", report_.rewritten_bytes}, {"removed_entries", removed_entries_},
          {"damaged_blocks", report_.damaged_blocks},   {"damages", report_.damages}};
      PrintJson(json);
    } else if (!flags_.quiet) {
      Tell("{} in {} files, before {} in {}; {} copied\n", FormatByteSize(after.disk_bytes),
           after.data_files, FormatByteSize(before_.disk_bytes), before_.data_files,
           FormatByteSize(report_.rewritten_bytes));
    }
    if (report_.damaged_blocks == 0) return Ok();
    Tell("{}\n",
         ForTerminal(fmt::format("the store {} is compacted and has damage, which stays as it "
                                 "was: {}; `cairn verify` names all and what helps",
                                 flags_.store, report_.damages.front())));
    return Ok();
  }

  Flags flags_;
  ColdStoreStats before_;
  CompactionReport report_;
  uint64_t removed_entries_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeCompactCommand() { return std::make_unique<CompactCommand>(); }

}  // namespace cairn
