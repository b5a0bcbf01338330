#include "tools/eval_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/hash.h"
#include "base/tell.h"
#include "tools/answer_sources.h"
#include "tools/eval_report.h"
#include "tools/reader.h"

namespace cairn {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string HashOf(const std::vector<uint32_t>& tokens) {
  Hasher hasher;
  hasher.Update(tokens.data(), tokens.size() * sizeof(uint32_t));
  return hasher.Hex();
}

/// The record of the text in its session, begun if it is new.
Status BeginReading(Reader* reader, Workspace& workspace, const std::string& hash) {
  const auto& ingests = workspace.profile().ingests;
  if (ingests.empty()) {
    IngestRecord record;
    record.hash = hash;
    record.source = workspace.session().record().name;
    reader->Begin(std::move(record));
  }
  if (ingests.size() == 1 && ingests[0].hash == hash) return Ok();
  return Fail(Errc::kMismatch,
              "session '{}' of the scratch store holds another text; remove the store and run the "
              "command again",
              workspace.session().record().name);
}

}  // namespace

EvalRun::EvalRun(const Flags& flags, const EvalSettings& settings, const TextPlanter& planter,
                 const std::string& store, EvalLog& log)
    : flags_(flags), settings_(settings), planter_(planter), log_(log), progress_(flags.quiet) {
  flags_.store = store;
}

std::string EvalRun::SessionName(int64_t length, int64_t text) {
  return fmt::format("{}-{}", length, text);
}

bool EvalRun::Finished() const {
  for (const int64_t length : settings_.lengths) {
    for (int64_t text = 0; text < settings_.samples; ++text) {
      if (!log_.Holds(length, text)) return false;
    }
  }
  return true;
}

Status EvalRun::DeleteFinished() const {
  std::error_code ignored;
  if (!std::filesystem::exists(flags_.store, ignored)) return Ok();
  CAIRN_TRY(auto cold, OpenStore(flags_, true, false));
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, false));
  for (const EvalRecord& record : log_.records()) {
    const std::string name = SessionName(record.length, record.text);
    if (catalog.Find(name).has_value()) CAIRN_TRY(catalog.Delete(name));
  }
  return Ok();
}

Status EvalRun::Run(std::unique_ptr<LoadedModel> model) {
  CAIRN_TRY(DeleteFinished());
  for (const int64_t length : settings_.lengths) {
    for (int64_t text = 0; text < settings_.samples; ++text) {
      if (log_.Holds(length, text)) continue;
      CAIRN_TRY(const PlantedText planted, planter_.Make(length, text));
      flags_.session = SessionName(length, text);
      CAIRN_TRY(auto workspace, Workspace::OpenOrCreate(flags_, false, std::move(model)));
      EvalRecord record;
      record.length = length;
      record.text = text;
      const Status status = RunText(*workspace, planted, &record);
      progress_.Finish();
      CAIRN_TRY(status);
      CAIRN_TRY(log_.Append(std::move(record)));
      CAIRN_TRY(model, Workspace::Discard(std::move(workspace)));
      tokens_before_ += length - tokens_skipped_;
    }
  }
  return Ok();
}

Status EvalRun::RunText(Workspace& workspace, const PlantedText& planted, EvalRecord* record) {
  record->hash = HashOf(planted.tokens);
  Reader reader(workspace);
  CAIRN_TRY(BeginReading(&reader, workspace, record->hash));
  tokens_skipped_ = reader.done();
  if (tokens_skipped_ > 0 && !flags_.quiet) {
    Tell("going on at token {} of text {} of {} tokens\n", tokens_skipped_, record->text + 1,
         record->length);
  }
  const auto start = Clock::now();
  CAIRN_TRY(reader.Read(planted.tokens, [&](int64_t done) {
    const double rate = static_cast<double>(done - tokens_skipped_) / SecondsSince(start);
    Show(*record, fmt::format("{} tokens read, {:.0f} tokens/s", done, rate), done);
  }));
  record->seconds = SecondsSince(start);
  record->tokens = workspace.session().tokens();
  record->tokens_read = record->tokens - tokens_skipped_;
  record->stored_bytes = workspace.StoredBytes();
  CAIRN_TRY(Ask(workspace, planted, record));
  for (const TierReport& tier : workspace.Tiers()) {
    record->tiers.push_back({tier.name, tier.fetched_blocks, tier.hit_blocks, tier.bytes_in});
  }
  return Ok();
}

Status EvalRun::Ask(Workspace& workspace, const PlantedText& planted, EvalRecord* record) {
  CAIRN_TRY(auto conversation, Conversation::Open(workspace));
  for (const Planting& planting : planted.plantings) {
    Show(*record,
         fmt::format("question {} of {}", record->answers.size() + 1, planted.plantings.size()),
         record->length);
    const std::string& question =
        settings_.question.empty() ? planting.fact.question : settings_.question;
    EvalAnswer& kept = record->answers.emplace_back();
    CAIRN_TRY(const Answer answer, AskOne(workspace, conversation, question, planting, &kept));
    CAIRN_TRY(conversation.Forget());
    const Verdict verdict = Judge(planting.fact, answer.text);
    kept.kind = planting.fact.kind;
    kept.bin = planting.bin;
    kept.depth = planting.depth;
    for (const Place& place : planting.places) kept.positions.push_back(place.first);
    kept.question = question;
    kept.value = planting.fact.value;
    kept.answer = answer.text;
    kept.right = verdict.right;
    kept.contains = verdict.contains;
    kept.question_tokens = answer.question_tokens;
    kept.answer_tokens = answer.answer_tokens;
    kept.seconds_to_first = answer.seconds_to_first;
    kept.seconds_per_token = answer.seconds_per_token;
  }
  return Ok();
}

Result<Answer> EvalRun::AskOne(Workspace& workspace, Conversation& conversation,
                               const std::string& question, const Planting& planting,
                               EvalAnswer* kept) const {
  const auto ignore = [](std::string_view) {};
  if (!settings_.why) {
    Sampler greedy;
    return conversation.Ask(question, settings_.max_tokens, greedy, ignore);
  }
  CAIRN_TRY(AnswerSources sources,
            AskForSources(workspace, conversation, question, settings_.max_tokens, ignore));
  const int64_t block_tokens = workspace.profile().block_tokens;
  const Place& place = planting.places.back();
  const auto holds = [&](const Passage& passage) {
    return passage.block * block_tokens < place.end &&
           (passage.block + 1) * block_tokens > place.first;
  };
  const auto found = std::ranges::find_if(sources.passages, holds);
  kept->passage_rank = found == sources.passages.end() ? 0 : found - sources.passages.begin() + 1;
  return std::move(sources.answer);
}

void EvalRun::Show(const EvalRecord& record, const std::string& doing, int64_t done) {
  if (!progress_.Due()) return;
  int64_t to_come = record.length - done;
  for (const int64_t length : settings_.lengths) {
    for (int64_t text = 0; text < settings_.samples; ++text) {
      const bool current = length == record.length && text == record.text;
      if (!current && !log_.Holds(length, text)) to_come += length;
    }
  }
  const auto made = static_cast<double>(tokens_before_ + done - tokens_skipped_);
  const double left = SecondsSince(start_) * static_cast<double>(to_come) / std::max(made, 1.0);
  progress_.Show(fmt::format("text {} of {} with {} tokens: {}, {} left", record.text + 1,
                             settings_.samples, LengthName(record.length), doing,
                             FormatDuration(left)));
}

}  // namespace cairn
