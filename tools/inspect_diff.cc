// cairn inspect diff: where two sessions part, and what they share.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "tools/inspectors.h"
#include "tools/print_json.h"
#include "tools/session_tree.h"
#include "tools/stored_session.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr int64_t kTokensAround = 24;

class DiffInspector final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("diff", "Where two sessions part, and what they share");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_option("A", names_[0], "A session")->required();
    command->add_option("B", names_[1], "Another one")->required();
    flags_.AddModel(*command, false);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(const auto a, StoredSession::Find(catalog, names_[0]));
    CAIRN_TRY(const auto b, StoredSession::Find(catalog, names_[1]));
    CAIRN_TRY(const StoredText stored_a, StoredText::Open(flags_, a));
    CAIRN_TRY(const StoredText stored_b, StoredText::Open(flags_, b));
    CAIRN_TRY(const SessionText text_a, stored_a.Of(catalog, a));
    CAIRN_TRY(const SessionText text_b, stored_b.Of(catalog, b));
    const json document = Compare(a, b, text_a, text_b);
    if (flags_.json) {
      PrintJson(document);
    } else {
      Print(document);
    }
    return Ok();
  }

 private:
  json Compare(const StoredSession& a, const StoredSession& b, const SessionText& text_a,
               const SessionText& text_b) const {
    const auto [end_a, end_b] = std::ranges::mismatch(text_a.tokens(), text_b.tokens());
    const int64_t equal = end_a - text_a.tokens().begin();
    const uint64_t shared = SharedBeginning(a.record, b.record);
    return {
        {"sessions", names_},
        {"tokens", {text_a.size(), text_b.size()}},
        {"equal_tokens", equal},
        {"block", equal / text_a.block_tokens()},
        {"before", text_a.Text(equal - kTokensAround, equal)},
        {"after",
         {text_a.Text(equal, equal + kTokensAround), text_b.Text(equal, equal + kTokensAround)}},
        {"shared_blocks", shared},
        {"shared_bytes", shared * a.ordinal_bytes()},
        {"payload_bytes", {a.payload_bytes(), b.payload_bytes()}},
        {"why_not_alike", a.profile.WhyNotAlike(b.profile)}};
  }

  void Print(const json& document) const {
    const auto equal = document["equal_tokens"].get<int64_t>();
    const std::array sizes{document["tokens"][0].get<int64_t>(),
                           document["tokens"][1].get<int64_t>()};
    fmt::print("the first {} tokens are equal, of {} in '{}' and {} in '{}'\n", equal, sizes[0],
               names_[0], sizes[1], names_[1]);
    const uint64_t shared = document["shared_blocks"].get<uint64_t>();
    fmt::print("{} sealed blocks are shared, {} of keys and values\n", shared,
               FormatByteSize(document["shared_bytes"].get<uint64_t>()));
    const std::string why = document["why_not_alike"].get<std::string>();
    if (!why.empty()) {
      fmt::print("'{}' could not share with '{}': {}\n", names_[0], names_[1], ForTerminal(why));
    }
    if (equal == sizes[0] && equal == sizes[1]) return;
    fmt::print("both       …{}\n", ForTerminal(document["before"].get<std::string>()));
    for (size_t i = 0; i < names_.size(); ++i) {
      const std::string after = document["after"][i].get<std::string>();
      fmt::print("{:<10} {}\n", names_[i],
                 equal == sizes[i] ? "(ends here)" : ForTerminal(after) + "…");
    }
  }

  Flags flags_;
  std::array<std::string, 2> names_;
};

}  // namespace

std::unique_ptr<Command> MakeDiffInspector() { return std::make_unique<DiffInspector>(); }

}  // namespace cairn
