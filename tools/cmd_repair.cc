// cairn repair: cut damaged sessions back to what is whole, or compute the rest of one again.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <utility>

#include "base/plain_text.h"
#include "base/progress.h"
#include "engine/fork_point.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"
#include "tools/recomputation.h"
#include "tools/repair_plan.h"
#include "tools/store_check.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

class RepairCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("repair", "Cut damaged sessions back to what is whole");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_option("--session", flags_.session, "Only this session")->type_name("NAME");
    command->add_flag("--dry-run", dry_run_, "Say what would be done, and change nothing");
    command->add_flag("--cut", cut_, "Let go of what is behind the damage");
    flags_.AddModel(*command, false);
    flags_.AddRetrieval(*command);
    flags_.AddMemory(*command);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (!flags_.session.empty()) CAIRN_TRY(SessionCatalog::ValidateName(flags_.session));
    if (flags_.model.empty() && !flags_.adapters.empty()) {
      return Fail(Errc::kInvalidArgument, "--adapter: give the --model that it belongs to, too");
    }
    if (!flags_.model.empty() && flags_.session.empty()) {
      return Fail(Errc::kInvalidArgument,
                  "--model: name the --session whose tokens are to be computed again");
    }
    CAIRN_TRY(auto reader, OpenStore(flags_, false, true));
    CAIRN_TRY(auto plans, Check(*reader, {}));
    reader.reset();
    if (plans.empty()) return Report(plans);
    // A second look, from the store opened anew: what a writer took away, or a disk did not give
    // once, is no damage.
    std::set<std::string> names;
    for (const RepairPlan& plan : plans) names.insert(plan.record.name);
    CAIRN_TRY(auto cold, OpenStore(flags_, false, dry_run_));
    CAIRN_TRY(plans, Check(*cold, names));
    Announce(plans);
    if (dry_run_ || plans.empty()) return Report(plans);
    CAIRN_TRY(CheckCuts(plans));
    CAIRN_TRY(RebuildAll(*cold, plans));
    CAIRN_TRY(auto options, flags_.ToEngineOptions());
    CAIRN_TRY(auto engine, Engine::Open(std::move(cold), options));
    for (const RepairPlan& plan : plans) {
      if (Recomputes(plan)) {
        CAIRN_TRY(identical_, Recompute(flags_, std::move(engine), plan));
        break;  // --model is of one session
      }
      if (Cuts(plan)) CAIRN_TRY(Cut(*engine, plan));
    }
    return Report(plans);
  }

 private:
  bool Recomputes(const RepairPlan& plan) const {
    return !flags_.model.empty() && plan.tokens_known && plan.hopeless.empty() && plan.cuts();
  }

  bool Cuts(const RepairPlan& plan) const {
    return plan.hopeless.empty() && plan.cuts() && !Recomputes(plan);
  }

  /// What a cut lets go of nobody gets back, and a model can often compute it again.
  Status CheckCuts(const std::vector<RepairPlan>& plans) const {
    const auto cuts = std::ranges::count_if(plans, [&](const auto& plan) { return Cuts(plan); });
    if (cut_ || cuts == 0) return Ok();
    return Fail(Errc::kInvalidArgument,
                "nothing was changed: {} sessions would be cut. Give --session NAME and --model "
                "FILE to compute it again, or --cut to let go of what is behind the damage",
                cuts);
  }

  /// Plans for the sessions that have damage, of those that were named; of all if none was. With
  /// names it is the second look: what cannot be read may be whole, and is an error then.
  Result<std::vector<RepairPlan>> Check(ColdStore& cold, const std::set<std::string>& names) const {
    Verifier verifier(cold);
    CAIRN_TRY(const auto records, verifier.CheckStore());
    const auto wanted = [&](const std::string& name) {
      return (flags_.session.empty() || name == flags_.session) &&
             (names.empty() || names.contains(name));
    };
    std::vector<RepairPlan> plans;
    bool any = flags_.session.empty();
    for (const Damage& damage : verifier.damages()) {
      if (damage.session.empty()) {
        if (damage.unreadable()) return CannotBeRead(damage, flags_.store);
        return Fail(Errc::kCorruption, "{}", damage.what);
      }
      if (!wanted(damage.session)) continue;
      any = true;
      RepairPlan& plan = plans.emplace_back();
      plan.record.name = damage.session;
      plan.hopeless = damage.what;
    }
    for (const SessionRecord& record : records) {
      if (!wanted(record.name)) continue;
      any = true;
      const size_t before = verifier.damages().size();
      CAIRN_TRY(const SessionCheck check, CheckSession(record, flags_.quiet, verifier));
      if (verifier.damages().size() == before) continue;
      const auto found = std::span(verifier.damages()).subspan(before);
      const auto unreadable = std::ranges::find_if(found, &Damage::unreadable);
      if (unreadable != found.end() && !names.empty()) {
        return CannotBeRead(*unreadable, flags_.store);
      }
      plans.push_back(PlanRepair(record, check));
      if (Recomputes(plans.back())) StartWithAStep(plans.back());
    }
    if (any) return plans;
    CAIRN_TRY(auto catalog, SessionCatalog::Open(cold, true));
    CAIRN_TRY(catalog.Find(flags_.session));  // which says what sessions there are
    return plans;
  }

  void Announce(const std::vector<RepairPlan>& plans) const {
    if (flags_.json) return;
    for (const RepairPlan& plan : plans) {
      const auto end = static_cast<int64_t>(plan.record.tokens);
      if (!plan.hopeless.empty()) {
        fmt::print("session '{}' cannot be repaired: {}\n", plan.record.name,
                   ForTerminal(plan.hopeless));
        continue;
      }
      if (plan.summaries) {
        fmt::print("session '{}': its damaged summaries are made anew from its blocks\n",
                   plan.record.name);
      }
      if (Recomputes(plan)) {
        fmt::print("session '{}': tokens {} to {} are computed again\n", plan.record.name,
                   plan.tokens, end - 1);
      } else if (plan.cuts()) {
        fmt::print("session '{}': {} from {} tokens to {}{}\n", plan.record.name,
                   cut_ ? "cut" : "--cut would cut it", end, plan.tokens,
                   plan.tokens == end ? "" : Lost(plan));
      }
    }
    std::fflush(stdout);
  }

  std::string Lost(const RepairPlan& plan) const {
    const int64_t end = static_cast<int64_t>(plan.record.tokens);
    std::string text = fmt::format("; tokens {} to {} are lost", plan.tokens, end - 1);
    if (!plan.tokens_known) return text + ", some of their numbers too";
    if (!flags_.model.empty()) return text;
    return text + ", unless --model computes them again instead";
  }

  /// Summaries of all plans that have damage there, from blocks that are read and checked for it.
  Status RebuildAll(ColdStore& cold, const std::vector<RepairPlan>& plans) const {
    if (std::ranges::none_of(plans, &RepairPlan::summaries)) return Ok();
    CAIRN_TRY(auto catalog, SessionCatalog::Open(cold, false));
    CAIRN_TRY(const auto all, catalog.List());
    for (const RepairPlan& plan : plans) {
      if (!plan.summaries) continue;
      Progress progress(flags_.quiet);
      CAIRN_TRY(RebuildSummaries(
          cold, catalog, plan.record, all.sessions, [&](uint64_t done, uint64_t total) -> Status {
            if (progress.Due()) progress.Show(fmt::format("{} of {} blocks read", done, total));
            if (!Interrupted()) return Ok();
            return Fail(Errc::kInterrupted, "stopped; session '{}' is what it was or whole",
                        plan.record.name);
          }));
    }
    return Ok();
  }

  Status Cut(Engine& engine, const RepairPlan& plan) const {
    Progress progress(flags_.quiet);
    const auto watch = [&](uint64_t done, uint64_t total) -> Status {
      if (progress.Due()) progress.Show(fmt::format("{} of {} blocks hashed", done, total));
      if (!Interrupted()) return Ok();
      return Fail(Errc::kInterrupted, "stopped; session '{}' is what it was", plan.record.name);
    };
    CAIRN_TRY(const ForkPoint point, ForkPointBehind(engine.cold(), plan.record, plan.blocks,
                                                     plan.cut_profile.ToJson(), watch));
    return engine.catalog().Cut(plan.record, point);
  }

  Status Report(const std::vector<RepairPlan>& plans) const {
    nlohmann::json repaired = nlohmann::json::array(), hopeless = nlohmann::json::array();
    for (const RepairPlan& plan : plans) {
      if (!plan.hopeless.empty()) {
        hopeless.push_back({{"session", plan.record.name}, {"message", plan.hopeless}});
        continue;
      }
      const bool again = Recomputes(plan);
      nlohmann::json json{
          {"session", plan.record.name},
          {"tokens_before", plan.record.tokens},
          {"cut_at", plan.tokens},
          {"tokens", again ? static_cast<int64_t>(plan.record.tokens) : plan.tokens},
          {"tokens_known", plan.tokens_known},
          {"summaries_rebuilt", plan.summaries},
          {"recomputed", again}};
      if (again && !dry_run_) json["identical"] = identical_;
      repaired.push_back(std::move(json));
    }
    if (flags_.json) {
      PrintJson(
          nlohmann::json{{"dry_run", dry_run_}, {"repaired", repaired}, {"hopeless", hopeless}});
    } else if (plans.empty()) {
      fmt::print("nothing is damaged; nothing was changed\n");
    } else {
      fmt::print("{} sessions {}{}\n", repaired.size(),
                 dry_run_ ? "would be repaired; nothing was changed" : "repaired",
                 identical_ ? "; the blocks are what they were, bit for bit" : "");
    }
    if (hopeless.empty()) return Ok();
    return Fail(
        Errc::kCorruption,
        "{} sessions of the store {} cannot be repaired; restore them from a copy, or delete "
        "them and build them again",
        hopeless.size(), flags_.store);
  }

  Flags flags_;
  bool dry_run_ = false;
  bool cut_ = false;
  bool identical_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeRepairCommand() { return std::make_unique<RepairCommand>(); }

}  // namespace cairn
