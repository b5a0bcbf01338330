// cairn ingest: append a text to a session, resumably.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/byte_size.h"
#include "base/hash.h"
#include "base/progress.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/text_file.h"
#include "tools/tier_report.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kTokensPerCommit = 4096;

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
    command->add_option("TEXT", text_path_, "Text file, or - for standard input")->required();
    flags_.AddShape(*command);
    flags_.AddRetrieval(*command);
    flags_.AddMemory(*command);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (tokens_.has_value()) {
      CAIRN_TRY(AtLeastOne("--tokens", *tokens_));
      limit_ = *tokens_;
    }
    CAIRN_TRY(auto text, ReadText(text_path_));
    CAIRN_TRY(auto workspace, Workspace::OpenOrCreate(flags_, raw_));
    CAIRN_TRY(auto started, Begin(*workspace, text));
    if (!started) return Report(*workspace, 0, 0);
    return Read(*workspace, text);
  }

 private:
  /// Finds or adds the ingest's record; false if the text was read before.
  Result<bool> Begin(Workspace& workspace, const std::string& text) {
    SessionProfile& profile = workspace.profile();
    Hasher hasher;
    hasher.Update(text);
    const std::string hash = hasher.Hex();
    if (!profile.ingests.empty() && !profile.ingests.back().done) {
      const IngestRecord& open = profile.ingests.back();
      if (open.hash == hash && open.limit == limit_) return true;
      return Fail(Errc::kMismatch,
                  "session '{}' is in the middle of reading {}; finish that first with the same "
                  "command as before",
                  flags_.session, open.source);
    }
    for (const IngestRecord& read : profile.ingests) {
      if (read.hash == hash && read.limit == limit_ && !again_) return false;
    }
    IngestRecord record;
    record.hash = hash;
    record.source = text_path_ == "-" ? "standard input" : text_path_;
    record.limit = limit_;
    record.start_token = workspace.session().tokens();
    record.opens_turn = !profile.raw && !profile.turn_open;
    profile.ingests.push_back(record);
    profile.turn_open = !profile.raw;
    return true;
  }

  /// All tokens the ingest adds: framing, then the text.
  Result<std::vector<uint32_t>> Tokens(Workspace& workspace, const std::string& text) const {
    const Tokenizer& tokenizer = workspace.model().tokenizer();
    const IngestRecord& record = workspace.profile().ingests.back();
    std::vector<uint32_t> tokens;
    if (workspace.profile().raw) {
      if (record.start_token == 0 && tokenizer.add_bos() && tokenizer.bos()) {
        tokens.push_back(*tokenizer.bos());
      }
    } else {
      CAIRN_TRY(auto chat, workspace.model().Template());
      if (record.start_token == 0) tokens = chat.Begin();
      if (record.opens_turn) {
        tokens.insert(tokens.end(), chat.UserOpen().begin(), chat.UserOpen().end());
      }
    }
    auto encoded = tokenizer.Encode(text);
    if (limit_ > 0 && std::ssize(encoded) > limit_) encoded.resize(static_cast<size_t>(limit_));
    if (encoded.empty()) {
      return Fail(Errc::kInvalidArgument, "{} holds no tokens", record.source);
    }
    tokens.insert(tokens.end(), encoded.begin(), encoded.end());
    return tokens;
  }

  Status Read(Workspace& workspace, const std::string& text) {
    Session& session = workspace.session();
    CAIRN_TRY(auto tokens, Tokens(workspace, text));
    IngestRecord& record = workspace.profile().ingests.back();
    record.tokens = std::ssize(tokens);
    const int64_t before = session.tokens() - record.start_token;
    if (before > 0 && !flags_.quiet) {
      fmt::print(stderr, "going on at token {} of {}\n", before, record.tokens);
    }
    std::span<const uint32_t> left(tokens.data() + before, tokens.size() - before);
    const auto start = Clock::now();
    Progress progress(flags_.quiet);
    while (!left.empty() && !Interrupted()) {
      const auto count = static_cast<size_t>(workspace.runner().NextStep(left));
      CAIRN_TRY(workspace.runner().Step(left.first(count)));
      session.AddTokens(left.first(count));
      left = left.subspan(count);
      if (session.tokens() - session.committed_tokens() >= kTokensPerCommit) {
        CAIRN_TRY(workspace.Commit());
      }
      if (progress.Due()) {
        const int64_t done = record.tokens - std::ssize(left);
        const double rate = static_cast<double>(done - before) / SecondsSince(start);
        progress.Show(fmt::format("{} of {} tokens, {:.0f} tokens/s, {}, {} left", done,
                                  record.tokens, rate, TiersLine(workspace.Tiers()),
                                  FormatDuration(static_cast<double>(left.size()) / rate)));
      }
    }
    progress.Finish();
    record.done = left.empty();
    CAIRN_TRY(workspace.Commit());
    if (!record.done) {
      return Fail(Errc::kInterrupted,
                  "stopped at token {} of {}, all of it kept; the same command "
                  "goes on from there",
                  record.tokens - std::ssize(left), record.tokens);
    }
    return Report(workspace, record.tokens - before, SecondsSince(start));
  }

  Status Report(Workspace& workspace, int64_t read, double seconds) const {
    const Session& session = workspace.session();
    const double rate = seconds > 0 ? static_cast<double>(read) / seconds : 0;
    if (!flags_.quiet) {
      if (read == 0) {
        fmt::print(stderr,
                   "session '{}' has read this text already; --again appends it once "
                   "more\n",
                   flags_.session);
      } else {
        fmt::print(stderr,
                   "{} tokens in {:.1f} s ({:.0f} tokens/s); session '{}' has {} tokens\n{}", read,
                   seconds, rate, flags_.session, session.tokens(),
                   TiersTable(workspace.Tiers(), workspace.StoredBytes()));
      }
    }
    if (flags_.json) {
      nlohmann::json json = TiersJson(workspace.Tiers(), workspace.StoredBytes());
      json["session"] = flags_.session;
      json["tokens_read"] = read;
      json["tokens"] = session.tokens();
      json["seconds"] = seconds;
      json["tokens_per_second"] = rate;
      json["index_bytes"] = session.index_bytes();
      fmt::print("{}\n", json.dump());
    }
    return Ok();
  }

  Flags flags_;
  bool raw_ = false;
  bool again_ = false;
  std::optional<int64_t> tokens_;
  int64_t limit_ = 0;  // --tokens; 0: the whole text
  std::string text_path_;
};

}  // namespace

std::unique_ptr<Command> MakeIngestCommand() { return std::make_unique<IngestCommand>(); }

}  // namespace cairn
