// cairn eval: how often a model finds facts planted in long texts, by length and depth.
#include <fmt/core.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/hash.h"
#include "base/new_file.h"
#include "base/plain_text.h"
#include "base/tell.h"
#include "tools/command.h"
#include "tools/eval_log.h"
#include "tools/eval_report.h"
#include "tools/eval_run.h"
#include "tools/eval_settings.h"
#include "tools/heat_map.h"
#include "tools/print_json.h"
#include "tools/reader.h"
#include "tools/scratch_directory.h"
#include "tools/text_file.h"

namespace cairn {
namespace {

constexpr const char* kStore = "store";
constexpr const char* kLog = "results.jsonl";

class EvalCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("eval", "How often facts planted in long texts are found");
    command->require_subcommand(1);
    AddOptions(*command->add_subcommand("passkey", "Pass keys at all depths of texts"));
    facts_ = command->add_subcommand("facts", "Facts of several kinds, some needing two look-ups");
    AddOptions(*facts_);
    return command;
  }

  Status Run() override {
    return flags_.Traced([this] { return RunTraced(); });
  }

 private:
  Status RunTraced() {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(ReadSettings());
    for (const std::string& path : {csv_path_, heat_map_path_}) CAIRN_TRY(NewFile::Check(path));
    CAIRN_TRY(auto model, flags_.OpenModel());
    CAIRN_TRY(auto opening, Opening(*model));
    CAIRN_TRY(const Filler filler, MakeFiller(model->tokenizer()));
    CAIRN_TRY(const SessionProfile profile, flags_.NewProfile(*model));
    CAIRN_TRY(const SessionOptions options, flags_.ToSessionOptions(profile));
    const TextPlanter planter(model->tokenizer(), filler, std::move(opening), settings_.plan);
    CAIRN_TRY(CheckTexts(planter, filler));
    CAIRN_TRY(const ScratchDirectory scratch, ScratchDirectory::Open(scratch_path_));
    CAIRN_TRY(CheckScratch(scratch));
    const nlohmann::json settings = settings_.ToJson(profile, options);
    CAIRN_TRY(EvalLog log, EvalLog::Open(scratch.Path(kLog), settings));
    EvalRun run(flags_, settings_, planter, scratch.Path(kStore), log);
    if (!run.Finished()) {
      const Status status = run.Run(std::move(model));
      if (!status.has_value()) return Stopped(status.error(), scratch, log);
    }
    CAIRN_TRY(scratch.Remove(kStore));
    return Report(log.records(), settings, DescribeMode(profile, options));
  }

  void AddOptions(CLI::App& app) {
    flags_.AddModel(app, true);
    app.add_option("--lengths", lengths_, "Tokens of the texts, e.g. 2k,4k,1M")
        ->type_name("LIST")
        ->delimiter(',')
        ->required();
    app.add_option("--samples", settings_.samples, "Texts of each length (default 20)")
        ->type_name("N");
    app.add_option("--depths", settings_.plan.depths, "Depths, equal parts of a text (default 5)")
        ->type_name("D");
    app.add_option("--facts-per-text", facts_per_text_,
                   "Facts in a text: a multiple of --depths, or 1 (default: one for each depth)")
        ->type_name("F");
    app.add_option("--seed", settings_.plan.seed, "Of passages, facts and places (default 1)")
        ->type_name("S");
    app.add_option("--filler", filler_,
                   "What facts are planted in: text, passages of --text; or paper, the sentences "
                   "of the landmark paper (default text)")
        ->type_name("KIND");
    app.add_option("--text", text_paths_, "Text for passages; may be repeated")
        ->type_name("FILE")
        ->allow_extra_args(false);
    app.add_option("--preface", settings_.preface, "A line in front of every text (default none)")
        ->type_name("TEXT");
    app.add_option("--question", settings_.question,
                   "What to ask for a single pass key (default: What is the pass key?)")
        ->type_name("TEXT");
    app.add_option("--max-tokens", settings_.max_tokens, "Longest answer in tokens (default 32)")
        ->type_name("N");
    app.add_flag("--why", settings_.why,
                 "Find out too among which passages of an answer `cairn why` names its fact");
    app.add_option("--scratch", scratch_path_,
                   "Directory for results and sessions, to go on after a stop (default: a "
                   "temporary one)")
        ->type_name("DIR");
    app.add_option("--csv", csv_path_, "Write accuracies by length and depth as CSV")
        ->type_name("FILE");
    app.add_option("--heat-map", heat_map_path_, "Draw accuracies by length and depth as SVG")
        ->type_name("FILE");
    flags_.AddRun(app);
  }

  Status ReadSettings() {
    settings_.plan.task = facts_->parsed() ? EvalTask::kFacts : EvalTask::kPasskey;
    settings_.plan.facts = facts_per_text_.value_or(settings_.plan.depths);
    for (const std::string& text : lengths_) {
      CAIRN_TRY(const int64_t length, ParseLength(text));
      settings_.lengths.push_back(length);
    }
    if (filler_ != "text" && filler_ != "paper") {
      return Fail(Errc::kInvalidArgument, "--filler {}: use text or paper", filler_);
    }
    settings_.paper = filler_ == "paper";
    if (settings_.paper && !text_paths_.empty()) {
      return Fail(Errc::kInvalidArgument, "--text is not used with --filler paper; leave one out");
    }
    if (!settings_.paper && text_paths_.empty()) {
      return Fail(Errc::kInvalidArgument,
                  "no text to plant facts in; name one with --text FILE, or use --filler paper");
    }
    if (!settings_.preface.empty() && settings_.preface.back() != '\n') settings_.preface += '\n';
    return settings_.Validate();
  }

  Result<std::vector<uint32_t>> Opening(const LoadedModel& model) const {
    auto opening = Reader::Opening(model, false, true, true);
    if (!opening.has_value()) {
      return Fail(opening.error().code,
                  "cannot ask '{}' questions: it has no chat template that "
                  "cairn knows; use a chat model",
                  model.file().path());
    }
    CAIRN_TRY(const ChatTemplate chat, model.Template());
    const auto preface = chat.UserText(model.tokenizer(), settings_.preface);
    opening.value().insert(opening.value().end(), preface.begin(), preface.end());
    return opening;
  }

  Result<Filler> MakeFiller(const Tokenizer& tokenizer) {
    if (settings_.paper) return Filler::Paper(tokenizer);
    std::string all;
    for (const std::string& path : text_paths_) {
      CAIRN_TRY(const std::string text, ReadText(path));
      all += text;
      if (all.back() != '\n') all += '\n';
    }
    Hasher hasher;
    hasher.Update(all);
    settings_.text_hash = hasher.Hex();
    Filler filler = Filler::Text(tokenizer, all);
    if (filler.size() > 0) return filler;
    return Fail(Errc::kInvalidArgument, "{} holds no tokens", text_paths_.front());
  }

  /// Whether every text can be made, before weights are read.
  Status CheckTexts(const TextPlanter& planter, const Filler& filler) const {
    for (const int64_t length : settings_.lengths) {
      for (int64_t text = 0; text < settings_.samples; ++text) {
        CAIRN_TRY(planter.Make(length, text));
      }
      if (settings_.paper || flags_.quiet || !planter.Repeats(length)) continue;
      Tell("the text has {} tokens, so texts of {} repeat parts of it\n", filler.size(), length);
    }
    return Ok();
  }

  static Status CheckScratch(const ScratchDirectory& scratch) {
    std::error_code ignored;
    if (std::filesystem::exists(scratch.Path(kLog), ignored)) return Ok();
    if (!std::filesystem::exists(scratch.Path(kStore), ignored)) return Ok();
    return Fail(Errc::kExists,
                "{} is there without {}, so it belongs to something else; name another --scratch",
                scratch.Path(kStore), kLog);
  }

  Error Stopped(const Error& error, const ScratchDirectory& scratch, const EvalLog& log) const {
    if (error.code != Errc::kInterrupted) return error;
    const int64_t texts = settings_.samples * std::ssize(settings_.lengths);
    return Fail(error.code, "stopped with {} of {} texts finished; {}", log.records().size(), texts,
                scratch.stays() ? "the same command goes on from there"
                                : "nothing is kept without --scratch");
  }

  Status Report(const std::vector<EvalRecord>& records, const nlohmann::json& settings,
                const std::string& mode) const {
    const EvalReport report(settings_.lengths, settings_.plan.depths, records);
    if (!csv_path_.empty()) CAIRN_TRY(WriteNewFile(csv_path_, report.Csv()));
    if (!heat_map_path_.empty()) {
      const std::string title =
          fmt::format("{}: share of facts found", EvalTaskName(settings_.plan.task));
      CAIRN_TRY(WriteNewFile(heat_map_path_, HeatMapSvg(report, title)));
    }
    if (!flags_.quiet) ListWrong(records);
    if (!flags_.json) {
      fmt::print("{}\n{}\n", report.Table(), mode);
      return Ok();
    }
    nlohmann::json json{{"settings", settings},
                        {"mode", mode},
                        {"lengths", report.ToJson()},
                        {"texts", nlohmann::json::array()}};
    for (const EvalRecord& record : records) json["texts"].push_back(record.ToJson());
    PrintJson(json);
    return Ok();
  }

  static void ListWrong(const std::vector<EvalRecord>& records) {
    for (const EvalRecord& record : records) {
      for (const EvalAnswer& answer : record.answers) {
        if (answer.right) continue;
        Tell("wrong in text {} of {} tokens at {:.0f} %: {} {}, not {}\n", record.text + 1,
             record.length, 100 * answer.depth, answer.question, answer.value,
             ForTerminal(nlohmann::json(answer.answer)
                             .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
      }
    }
  }

  Flags flags_;
  EvalSettings settings_;
  CLI::App* facts_ = nullptr;
  std::vector<std::string> lengths_, text_paths_;
  std::optional<int> facts_per_text_;
  std::string filler_ = "text";
  std::string scratch_path_, csv_path_, heat_map_path_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalCommand() { return std::make_unique<EvalCommand>(); }

}  // namespace cairn
