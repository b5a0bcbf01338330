// cairn ingest: append a text to a session, resumably.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/byte_size.h"
#include "base/progress.h"
#include "base/tell.h"
#include "engine/stored_shape.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"
#include "tools/reader.h"
#include "tools/shared_beginning.h"
#include "tools/text_file.h"
#include "tools/tier_report.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class IngestCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("ingest", "Append a text to a session");
    flags_.AddStore(*command, true);
    flags_.AddModel(*command, true);
    command->add_flag("--raw", raw_, "Plain text: no chat template around it");
    command->add_option("--tokens", tokens_, "Read only the first N tokens of the text")
        ->type_name("N");
    command->add_flag("--again", again_, "Append a text that was read before once more");
    command->add_flag("--dedup", dedup_,
                      "A new session shares the blocks of another one that begins with the same "
                      "tokens");
    command->add_flag("--sketches", flags_.sketches,
                      "Without landmarks: store sketches of keys too, so that --certify need not "
                      "read the blocks");
    command->add_option("TEXT", text_path_, "Text file, or - for standard input")->required();
    flags_.AddRun(*command);
    flags_.AddMetrics(*command);
    return command;
  }

  Status Run() override {
    return flags_.Traced([this] { return RunTraced(); });
  }

 private:
  Status RunTraced() {
    CAIRN_TRY(flags_.Apply());
    if (tokens_.has_value()) {
      CAIRN_TRY(AtLeastOne("--tokens", *tokens_));
      limit_ = *tokens_;
    }
    CAIRN_TRY(auto text, ReadText(text_path_));
    CAIRN_TRY(auto workspace, Open(text));
    CAIRN_TRY(auto started, Reader(*workspace).BeginOrGoOn(NewRecord(text), again_));
    if (!started) return Report(*workspace, 0);
    return Read(*workspace, text);
  }

  Result<std::unique_ptr<Workspace>> Open(const std::string& text) {
    if (!dedup_) return Workspace::OpenOrCreate(flags_, raw_);
    CAIRN_TRY(SessionCatalog::ValidateName(flags_.session));
    CAIRN_TRY(auto model, flags_.OpenModel());
    return Workspace::OpenOrCreate(flags_, raw_, std::move(model),
                                   [&](Workspace& workspace, const SessionShape& shape) {
                                     return Share(workspace, shape, text);
                                   });
  }

  /// Begins the session with what another one has of the same text; false if none has.
  Result<bool> Share(Workspace& workspace, const SessionShape& shape, const std::string& text) {
    const SessionProfile before = workspace.profile();
    Reader::BeginAt(0, workspace.profile(), NewRecord(text));
    CAIRN_TRY(const auto tokens, Reader(workspace).Tokens(text));
    workspace.profile().ingests.back().tokens = std::ssize(tokens);
    const NewSession wanted{workspace.profile(), DescribeShape(shape), workspace.reading(), tokens};
    SessionCatalog& catalog = workspace.engine().catalog();
    CAIRN_TRY(matches_, FindBeginnings(catalog, wanted));
    Progress progress(flags_.quiet);
    const auto watch = [&](uint64_t done, uint64_t total) -> Status {
      if (progress.Due()) progress.Show(fmt::format("{} of {} blocks checked", done, total));
      if (!Interrupted()) return Ok();
      return Fail(Errc::kInterrupted, "stopped; there is no session '{}'", flags_.session);
    };
    CAIRN_TRY(shared_, ForkBeginning(workspace.engine().cold(), catalog, wanted, flags_.session,
                                     matches_, watch));
    progress.Finish();
    if (!shared_) {
      workspace.profile() = before;
      return false;
    }
    workspace.profile().beginning = {shared_->tokens, workspace.reading()};
    return true;
  }

  IngestRecord NewRecord(const std::string& text) const {
    return Reader::RecordOf(text, text_path_ == "-" ? "standard input" : text_path_, limit_);
  }

  Status Read(Workspace& workspace, const std::string& text) {
    Reader reader(workspace);
    CAIRN_TRY(auto tokens, reader.Tokens(text));
    const int64_t before = reader.done();
    if (shared_ && !flags_.quiet) {
      Tell("the first {} tokens of {} are shared with session '{}'\n", shared_->tokens,
           tokens.size(), shared_->record.name);
    } else if (before > 0 && !flags_.quiet) {
      Tell("going on at token {} of {}\n", before, tokens.size());
    }
    const auto start = Clock::now();
    Progress progress(flags_.quiet);
    const Status read = reader.Read(tokens, [&](int64_t done) {
      if (!progress.Due()) return;
      const double rate = static_cast<double>(done - before) / SecondsSince(start);
      const auto left = static_cast<double>(std::ssize(tokens) - done);
      progress.Show(fmt::format("{} of {} tokens, {:.0f} tokens/s, {}, {} left", done,
                                tokens.size(), rate, TiersLine(workspace.Tiers()),
                                FormatDuration(left / rate)));
    });
    progress.Finish();
    CAIRN_TRY(read);
    return Report(workspace, SecondsSince(start));
  }

  Status Report(Workspace& workspace, double seconds) const {
    const Session& session = workspace.session();
    const uint64_t read = workspace.counters().tokens_read;
    const double rate = seconds > 0 ? static_cast<double>(read) / seconds : 0;
    if (!flags_.quiet) {
      if (read == 0 && !shared_) {
        Tell(
            "session '{}' has read this text already; --again appends it once "
            "more\n",
            flags_.session);
      } else {
        Tell("{} tokens in {:.1f} s ({:.0f} tokens/s); session '{}' has {} tokens\n{}", read,
             seconds, rate, flags_.session, session.tokens(),
             TiersTable(workspace.Tiers(), workspace.StoredBytes(), workspace.Steps()));
      }
    }
    if (flags_.json) {
      nlohmann::json json =
          TiersJson(workspace.Tiers(), workspace.StoredBytes(), workspace.Steps());
      json["session"] = flags_.session;
      json["tokens_read"] = read;
      json["tokens"] = session.tokens();
      json["seconds"] = seconds;
      json["tokens_per_second"] = rate;
      json["index_bytes"] = session.index_bytes();
      if (dedup_) json["dedup"] = DedupJson();
      PrintJson(json);
    }
    return Ok();
  }

  nlohmann::json DedupJson() const {
    nlohmann::json others = nlohmann::json::array();
    for (const BeginningMatch& match : matches_) {
      if (match.why.empty()) continue;
      others.push_back(
          {{"session", match.record.name}, {"equal_tokens", match.common}, {"why", match.why}});
    }
    nlohmann::json json{{"shared_tokens", shared_ ? shared_->tokens : 0}, {"not_shared", others}};
    json["session"] = shared_ ? nlohmann::json(shared_->record.name) : nullptr;
    return json;
  }

  Flags flags_;
  bool raw_ = false;
  bool again_ = false;
  bool dedup_ = false;
  std::vector<BeginningMatch> matches_;   // sessions that were looked at for --dedup
  std::optional<BeginningMatch> shared_;  // the one that the session begins with
  std::optional<int64_t> tokens_;
  int64_t limit_ = 0;  // --tokens; 0: the whole text
  std::string text_path_;
};

}  // namespace

std::unique_ptr<Command> MakeIngestCommand() { return std::make_unique<IngestCommand>(); }

}  // namespace cairn
