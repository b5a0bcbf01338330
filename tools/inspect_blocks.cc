// cairn inspect blocks: the sealed blocks of a session, where each is and whether it is whole.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/byte_size.h"
#include "base/new_file.h"
#include "base/plain_text.h"
#include "base/tell.h"
#include "tools/block_check.h"
#include "tools/fetch_heat.h"
#include "tools/html_page.h"
#include "tools/inspectors.h"
#include "tools/print_json.h"
#include "tools/stored_session.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

using nlohmann::json;

/// A line of the list: one ordinal of the session, or one layer's and head's part of it.
struct Line {
  int64_t block = 0;
  BlockId id{};
  int64_t parts = 1;    ///< blocks of single heads it stands for
  int64_t damaged = 0;  ///< of them
  int64_t unreadable = 0;
  std::string damage{};  ///< what was found first
  Fetches fetches{};
};

class BlocksInspector final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("blocks", "Sealed blocks of a session");
    flags_.AddStore(*command, true);
    command->add_option("--layer", layer_, "Only of this layer, head by head")->type_name("L");
    command->add_option("--head", head_, "Only of this KV head, layer by layer")->type_name("H");
    command->add_option("--range", range_, "Only blocks with tokens from A on and before B")
        ->type_name("A:B");
    command->add_flag("--check", check_, "Read each block and check it");
    command
        ->add_option("--trace", trace_path_,
                     "A trace that --trace recorded: how often each block was fetched")
        ->type_name("FILE");
    command->add_option("--html", html_path_, "With --trace: a map of what was fetched, as a page")
        ->type_name("FILE");
    flags_.AddModel(*command, false);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(NewFile::Check(html_path_));
    if (!html_path_.empty() && trace_path_.empty()) {
      return Fail(Errc::kInvalidArgument,
                  "--html maps what was fetched; give a --trace FILE that `cairn ask --trace FILE` "
                  "has recorded");
    }
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(const auto all, catalog.List());
    CAIRN_TRY(const auto session, StoredSession::Find(catalog, flags_.session));
    CAIRN_TRY(auto lines, Lines(session));
    StoreCheck check;
    if (check_) {
      CAIRN_TRY(check, CheckBlocks(flags_, *cold, session.record, session.shape,
                                   ListedBlocks(session, lines)));
      AddFindings(check, &lines);
    }
    if (!trace_path_.empty()) {
      CAIRN_TRY(trace_, CountFetches(trace_path_));
      CAIRN_TRY(trace_.CheckStore(cold->Stats().identity));
      CAIRN_TRY(CheckTraceSession(session, all));
      AddFetches(session, &lines);
    }
    if (!html_path_.empty()) CAIRN_TRY(WriteMap(catalog, session));
    Print(session, lines, SharedOrdinals(session, all));
    return Verdict(check, flags_.store);
  }

 private:
  bool single() const { return layer_.has_value() || head_.has_value(); }

  Result<std::vector<Line>> Lines(const StoredSession& session) const {
    const SessionShape& shape = session.shape;
    if (layer_.has_value() && (*layer_ < 0 || *layer_ >= shape.layers)) {
      return Fail(Errc::kInvalidArgument, "--layer {}: use 0 to {}", *layer_, shape.layers - 1);
    }
    if (head_.has_value() && (*head_ < 0 || *head_ >= shape.kv_heads)) {
      return Fail(Errc::kInvalidArgument, "--head {}: use 0 to {}", *head_, shape.kv_heads - 1);
    }
    const int64_t tokens = shape.block_tokens();
    NumberRange range{0, static_cast<int64_t>(session.record.tokens)};
    if (!range_.empty()) {
      CAIRN_TRY(range, ParseRange("--range", range_, range.end));
    }
    const int64_t end = std::min(session.blocks.size(), (range.end + tokens - 1) / tokens);
    std::vector<Line> lines;
    for (int64_t block = range.first / tokens; block < end; ++block) {
      if (!single()) {
        lines.push_back(
            {.block = block, .id = session.blocks.Id(block, 0, 0), .parts = shape.partitions()});
        continue;
      }
      for (int32_t layer = 0; layer < shape.layers; ++layer) {
        for (int32_t head = 0; head < shape.kv_heads; ++head) {
          if (layer_.value_or(layer) != layer || head_.value_or(head) != head) continue;
          lines.push_back({.block = block, .id = session.blocks.Id(block, layer, head)});
        }
      }
    }
    return lines;
  }

  /// What the lines stand for.
  std::vector<ListedBlock> ListedBlocks(const StoredSession& session,
                                        const std::vector<Line>& lines) const {
    std::vector<ListedBlock> blocks;
    for (const Line& line : lines) {
      for (int32_t layer = 0; layer < session.shape.layers; ++layer) {
        for (int32_t head = 0; head < session.shape.kv_heads; ++head) {
          const BlockId id = session.blocks.Id(line.block, layer, head);
          if (!single() || id == line.id) blocks.push_back({line.block, id});
        }
      }
    }
    return blocks;
  }

  /// Findings are in the order of the lines.
  void AddFindings(const StoreCheck& check, std::vector<Line>* lines) const {
    auto finding = check.findings.begin();
    for (Line& line : *lines) {
      for (; finding != check.findings.end(); ++finding) {
        const Damage& damage = finding->damage;
        if (static_cast<int64_t>(damage.ordinal) != line.block) break;
        if (single() && damage.block != line.id) break;
        ++(damage.unreadable() ? line.unreadable : line.damaged);
        if (line.damage.empty()) line.damage = damage.what;
      }
    }
  }

  /// Finds the name of the session that the trace is of. Another one may share blocks with this
  /// one: then people are told.
  Status CheckTraceSession(const StoredSession& session, const SessionList& all) {
    const TraceSource& source = trace_.source;
    if (source.store == 0 && !flags_.quiet) {
      Tell(
          "{} does not say which store and session it is of: fetches are counted by the numbers "
          "of blocks alone\n",
          ForTerminal(trace_path_));
    }
    if (source.store == 0 || source.session == 0) return Ok();
    for (const SessionRecord& record : all.sessions) {
      if (record.id == source.session) trace_session_ = record.name;
    }
    if (source.session == session.record.id) return Ok();
    const std::string whose = trace_session_.empty() ? "a session that is gone"
                                                     : fmt::format("session '{}'", trace_session_);
    const bool shares = std::ranges::any_of(trace_.counts, [&](const auto& fetched) {
      return session.blocks.Find(fetched.first.extent, fetched.first.ordinal) >= 0;
    });
    if (!shares) {
      return Fail(Errc::kMismatch, "the trace {} is of {}, and fetched no block of session '{}'",
                  trace_path_, whose, session.record.name);
    }
    if (!flags_.quiet) {
      Tell("{} is of {}: counted is what that fetched of blocks that both have\n",
           ForTerminal(trace_path_), whose);
    }
    return Ok();
  }

  void AddFetches(const StoredSession& session, std::vector<Line>* lines) const {
    for (Line& line : *lines) {
      for (int32_t layer = 0; layer < session.shape.layers; ++layer) {
        for (int32_t head = 0; head < session.shape.kv_heads; ++head) {
          const BlockId id = session.blocks.Id(line.block, layer, head);
          const auto found = trace_.counts.find(id);
          if ((single() && id != line.id) || found == trace_.counts.end()) continue;
          line.fetches.count += found->second.count;
          line.fetches.last = std::max(line.fetches.last, found->second.last);
        }
      }
    }
  }

  Status WriteMap(const SessionCatalog& catalog, const StoredSession& session) const {
    CAIRN_TRY(const StoredText stored, StoredText::Open(flags_, session));
    CAIRN_TRY(const SessionText text, stored.Of(catalog, session));
    const TextHeat heat = HeatOf(trace_.counts, session, text);
    const std::string title = "Blocks fetched of session " + session.record.name;
    return WriteNewFile(
        html_path_,
        HtmlPage(title,
                 fmt::format("<h1>{}</h1>\n<p class=\"note\">{} tokens, {} sealed blocks; "
                             "recorded in {}.</p>\n",
                             ForHtml(title), text.size(), heat.blocks, ForHtml(trace_path_)) +
                     HeatSection(heat)));
  }

  /// Of the session, those that another one has too.
  static std::set<int64_t> SharedOrdinals(const StoredSession& session, const SessionList& all) {
    std::set<int64_t> shared;
    for (const SessionRecord& other : all.sessions) {
      if (other.id == session.record.id) continue;
      for (int64_t block = 0; block < session.blocks.size(); ++block) {
        const BlockId id = session.blocks.Id(block, 0, 0);
        const bool has = std::ranges::any_of(other.ranges, [&](const ExtentRange& range) {
          return range.extent == id.extent && id.ordinal >= range.first &&
                 id.ordinal - range.first < range.count;
        });
        if (has) shared.insert(block);
      }
    }
    return shared;
  }

  json LineJson(const StoredSession& session, const Line& line, bool shared) const {
    const int64_t tokens = session.shape.block_tokens();
    json one{{"block", line.block},
             {"tokens", {line.block * tokens, (line.block + 1) * tokens - 1}},
             {"extent", line.id.extent},
             {"ordinal", line.id.ordinal},
             {"state", "sealed"},
             {"tier", StoreTierName(StoreTier::kCold)},
             {"shared", shared},
             {"bytes", line.parts * static_cast<int64_t>(session.shape.block.payload_bytes())}};
    if (single()) {
      one["layer"] = line.id.layer;
      one["head"] = line.id.head;
    }
    if (check_) {
      one["damaged"] = line.damaged;
      one["unreadable"] = line.unreadable;
      if (!line.damage.empty()) one["damage"] = line.damage;
    }
    if (!trace_path_.empty()) {
      one["fetches"] = line.fetches.count;
      one["last_access"] = line.fetches.last < 0 ? json() : json(line.fetches.last);
    }
    return one;
  }

  void Print(const StoredSession& session, const std::vector<Line>& lines,
             const std::set<int64_t>& shared) const {
    const int64_t rows = session.shape.block.block_rows;
    const int64_t tail_rows = static_cast<int64_t>(session.record.rows) % rows;
    if (flags_.json) {
      json list = json::array();
      for (const Line& line : lines) {
        list.push_back(LineJson(session, line, shared.contains(line.block)));
      }
      json document{{"session", session.record.name},
                    {"blocks", list},
                    {"unfinished_rows", tail_rows},
                    {"unfinished_bytes", session.record.tail_bytes}};
      if (!trace_path_.empty()) {
        document["trace_session"] = trace_session_.empty() ? json() : json(trace_session_);
      }
      PrintJson(document);
      return;
    }
    fmt::print("{:>8} {:>21} {:>7} {:>8}{} {:<6} {:<5} {:>10}{}{}\n", "block", "tokens", "extent",
               "ordinal", single() ? " layer head" : "", "shared", "tier", "bytes",
               check_ ? "  check  " : "", trace_path_.empty() ? "" : "  fetches  last");
    for (const Line& line : lines) PrintLine(session, line, shared.contains(line.block));
    fmt::print("{} of {} sealed blocks; {} rows unfinished, {} in the catalog\n",
               single() ? "parts" : std::to_string(lines.size()), session.blocks.size(), tail_rows,
               FormatByteSize(session.record.tail_bytes));
  }

  static std::string CheckText(const Line& line) {
    if (line.damage.empty()) return "  good   ";
    std::string found;
    if (line.damaged > 0) found += fmt::format("  DAMAGED {}", line.damaged);
    if (line.unreadable > 0) found += fmt::format("  UNREADABLE {}", line.unreadable);
    return found + ": " + ForTerminal(line.damage);
  }

  void PrintLine(const StoredSession& session, const Line& line, bool shared) const {
    const int64_t tokens = session.shape.block_tokens();
    const auto bytes = static_cast<uint64_t>(line.parts) * session.shape.block.payload_bytes();
    std::string more;
    if (check_) more += CheckText(line);
    if (!trace_path_.empty()) {
      more += fmt::format("  {:>7}  {}", line.fetches.count,
                          line.fetches.last < 0 ? "-" : std::to_string(line.fetches.last));
    }
    const std::string part =
        single() ? fmt::format(" {:>5} {:>4}", line.id.layer, line.id.head) : "";
    fmt::print("{:>8} {:>21} {:>7} {:>8}{} {:<6} {:<5} {:>10}{}\n", line.block,
               fmt::format("{}-{}", line.block * tokens, (line.block + 1) * tokens - 1),
               line.id.extent, line.id.ordinal, part, shared ? "yes" : "no",
               StoreTierName(StoreTier::kCold), FormatByteSize(bytes), more);
  }

  Flags flags_;
  std::optional<int32_t> layer_, head_;
  std::string range_, trace_path_, html_path_;
  bool check_ = false;
  NamedTrace trace_;
  std::string trace_session_;  // empty: not known, or gone
};

}  // namespace

std::unique_ptr<Command> MakeBlocksInspector() { return std::make_unique<BlocksInspector>(); }

}  // namespace cairn
