#include "tools/reader.h"

#include <algorithm>

#include "base/hash.h"
#include "tools/interrupt.h"

namespace cairn {
namespace {

constexpr int64_t kTokensPerCommit = 4096;

}  // namespace

Result<std::vector<uint32_t>> Reader::Opening(const LoadedModel& model, bool raw, bool first,
                                              bool opens_turn) {
  std::vector<uint32_t> tokens;
  if (raw) {
    const Tokenizer& tokenizer = model.tokenizer();
    if (first && tokenizer.add_bos() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
    return tokens;
  }
  CAIRN_TRY(auto chat, model.Template());
  if (first) return opens_turn ? chat.Opening() : chat.Begin();
  if (opens_turn) tokens = chat.UserOpen();
  return tokens;
}

IngestRecord Reader::RecordOf(std::string_view text, std::string source, int64_t limit) {
  Hasher hasher;
  hasher.Update(text);
  IngestRecord record;
  record.hash = hasher.Hex();
  record.source = std::move(source);
  record.limit = limit;
  return record;
}

Result<bool> Reader::BeginOrGoOn(IngestRecord record, bool again) {
  const SessionProfile& profile = workspace_.profile();
  if (!profile.ingests.empty() && !profile.ingests.back().done) {
    const IngestRecord& open = profile.ingests.back();
    if (open.hash == record.hash && open.limit == record.limit) return true;
    return Fail(Errc::kMismatch,
                "session '{}' is in the middle of reading {}; finish that first with the same "
                "command as before",
                workspace_.session().record().name, open.source);
  }
  for (const IngestRecord& read : profile.ingests) {
    if (read.hash == record.hash && read.limit == record.limit && !again) return false;
  }
  Begin(std::move(record));
  return true;
}

Result<std::vector<uint32_t>> Reader::Tokens(std::string_view text) const {
  const IngestRecord& record = workspace_.profile().ingests.back();
  const LoadedModel& model = workspace_.model();
  const bool raw = workspace_.profile().raw, first = record.start_token == 0;
  CAIRN_TRY(auto tokens, Opening(model, raw, first, record.opens_turn));
  std::vector<uint32_t> encoded;
  if (record.opens_turn) {
    CAIRN_TRY(const ChatTemplate chat, model.Template());
    encoded = chat.UserText(model.tokenizer(), text);
  } else {
    encoded = raw && first ? model.tokenizer().EncodeAtStart(text) : model.tokenizer().Encode(text);
  }
  if (record.limit > 0 && std::ssize(encoded) > record.limit) {
    encoded.resize(static_cast<size_t>(record.limit));
  }
  if (encoded.empty()) return Fail(Errc::kInvalidArgument, "{} holds no tokens", record.source);
  tokens.insert(tokens.end(), encoded.begin(), encoded.end());
  return tokens;
}

void Reader::Begin(IngestRecord record) {
  BeginAt(workspace_.session().tokens(), workspace_.profile(), std::move(record));
}

void Reader::BeginAt(int64_t token, SessionProfile& profile, IngestRecord record) {
  record.start_token = token;
  record.opens_turn = !profile.raw && !profile.turn_open;
  profile.ingests.push_back(std::move(record));
  profile.turn_open = !profile.raw;
}

int64_t Reader::done() const {
  return workspace_.session().tokens() - workspace_.profile().ingests.back().start_token;
}

Status Reader::CheckReadBefore(std::span<const uint32_t> tokens) const {
  if (done() == 0) return Ok();
  const IngestRecord& record = workspace_.profile().ingests.back();
  CAIRN_TRY(const auto all, workspace_.session().ReadTokens());
  const auto read = std::span(all).subspan(static_cast<size_t>(record.start_token));
  if (read.size() <= tokens.size() && std::ranges::equal(read, tokens.first(read.size()))) {
    return Ok();
  }
  return Fail(Errc::kMismatch,
              "session '{}' has {} tokens of {} that are not its first ones: another version of "
              "cairn has begun to read it; delete the session and read it again",
              workspace_.session().record().name, read.size(), record.source);
}

Status Reader::Read(std::span<const uint32_t> tokens, const Watch& watch) {
  CAIRN_TRY(CheckReadBefore(tokens));
  Session& session = workspace_.session();
  IngestRecord& record = workspace_.profile().ingests.back();
  record.tokens = std::ssize(tokens);
  auto left = tokens.subspan(static_cast<size_t>(done()));
  bool stopped = false;
  while (!left.empty() && !stopped && !Interrupted()) {
    const auto count = static_cast<size_t>(workspace_.runner().NextStep(left));
    CAIRN_TRY(workspace_.runner().Step(left.first(count)));
    session.AddTokens(left.first(count));
    workspace_.counters().tokens_read += count;
    ExtendBeginning(workspace_.profile(), session.tokens() - static_cast<int64_t>(count),
                    session.tokens(), workspace_.reading());
    left = left.subspan(count);
    if (session.tokens() - session.committed_tokens() >= kTokensPerCommit) {
      CAIRN_TRY(workspace_.Commit());
    }
    watch(done());
    stopped = stop_ && stop_();
  }
  record.done = left.empty();
  CAIRN_TRY(workspace_.Commit());
  if (record.done) return Ok();
  return Fail(Errc::kInterrupted,
              "stopped at token {} of {}, all of it kept; the same command goes on from there",
              done(), record.tokens);
}

}  // namespace cairn
