#include "tools/answer_sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/plain_text.h"

namespace cairn {
namespace {

constexpr size_t kColumns = 96;
constexpr size_t kNamedBlocks = 4;  // of a head, in the table of a token

/// `text` in lines of at most kColumns bytes or so, indented.
std::string Wrapped(const std::string& text, const std::string& indent) {
  std::string lines, line;
  const auto end_line = [&] {
    const size_t first = line.find_first_not_of(' ');
    if (first != std::string::npos) {
      lines += indent + line.substr(first, line.find_last_not_of(' ') + 1 - first) + "\n";
    }
    line.clear();
  };
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = text.find(' ', begin);
    end = end == std::string::npos ? text.size() : end + 1;
    if (line.size() + end - begin > kColumns) end_line();
    line += text.substr(begin, end - begin);
    begin = end;
  }
  end_line();
  return lines;
}

double Percent(double share) { return 100 * share; }

std::string HeadLine(const StepLog& log, const HeadLog& head) {
  std::vector<ReadBlock> reads(log.Of(head).begin(), log.Of(head).end());
  std::ranges::sort(reads, [](const auto& a, const auto& b) { return a.share > b.share; });
  std::string blocks;
  for (size_t i = 0; i < std::min(reads.size(), kNamedBlocks); ++i) {
    blocks +=
        fmt::format("{}{} {:.0f} %", i == 0 ? "" : ", ", reads[i].block, Percent(reads[i].share));
  }
  std::array<int64_t, 3> tiers{};
  for (const ReadBlock& read : reads) ++tiers[static_cast<size_t>(read.tier)];
  std::string from;
  for (const StoreTier tier : {StoreTier::kCompute, StoreTier::kHost, StoreTier::kCold}) {
    const int64_t count = tiers[static_cast<size_t>(tier)];
    if (count > 0)
      from += fmt::format("{}{} {}", from.empty() ? "" : ", ", StoreTierName(tier), count);
  }
  const std::string next =
      head.runner_up < 0 ? "-"
                         : fmt::format("{} ({:.2f})", head.runner_up, head.runner_up_log_weight);
  return fmt::format("{:>5} {:>4} {:>5.0f} %  {:<44} {:<16} {}\n", head.layer, head.head,
                     Percent(head.local_share), blocks, next, from);
}

}  // namespace

Status AnswerSources::RankFor(int64_t token) {
  if (token < 0 || token >= std::ssize(texts)) {
    return Fail(Errc::kInvalidArgument, "--token {}: the answer has {} tokens; use 0 to {}", token,
                texts.size(), std::max<int64_t>(0, std::ssize(texts) - 1));
  }
  std::ranges::fill(place.weights, 0.0);
  place.weights[static_cast<size_t>(token)] = 1;
  passages = RankPassages(log, shape, place);
  return Ok();
}

Result<AnswerSources> AskForSources(Workspace& workspace, Conversation& conversation,
                                    const std::string& question, int64_t max_tokens,
                                    const Conversation::Sink& sink) {
  const Turn turn{.text = question};
  Sampler greedy;
  return AskForSources(workspace, conversation, {&turn, 1}, max_tokens, greedy, sink);
}

Result<AnswerSources> AskForSources(Workspace& workspace, Conversation& conversation,
                                    std::span<const Turn> turns, int64_t max_tokens,
                                    Sampler& sampler, const Conversation::Sink& sink) {
  AnswerSources sources;
  sources.question = turns.back().text;
  sources.shape = workspace.session().shape();
  CAIRN_TRY(sources.answer, conversation.AskAfter(turns, max_tokens, sampler, sink, &sources.log));
  sources.texts = sources.answer.texts;
  const Answer& answer = sources.answer;
  sources.place = {answer.first_token - answer.question_tokens, answer.first_token,
                   TokenWeights(sources.texts, sources.question),
                   workspace.model().predicts_from_landmarks()};
  sources.passages = RankPassages(sources.log, sources.shape, sources.place);
  return sources;
}

Result<SessionText> TextOf(Workspace& workspace) {
  CAIRN_TRY(auto tokens, workspace.session().ReadTokens());
  return SessionText(workspace.model().tokenizer(), std::move(tokens),
                     workspace.profile().block_tokens);
}

std::string DescribePassages(const AnswerSources& sources, const SessionText& text, size_t count) {
  std::string shown;
  for (size_t i = 0; i < std::min(count, sources.passages.size()); ++i) {
    const Passage& passage = sources.passages[i];
    shown += fmt::format(
        "{}. block {}, tokens {} to {}: {:.0f} %, most for \"{}\" in layer {}, head {}\n", i + 1,
        passage.block, text.Begin(passage.block), text.End(passage.block) - 1,
        Percent(passage.share), ForTerminal(sources.texts[static_cast<size_t>(passage.token)]),
        passage.layer, passage.head);
    shown += Wrapped(ForTerminal(text.BlockText(passage.block)), "     ");
  }
  if (shown.empty()) shown = "nothing of the past was read: all of it is in the unfinished block\n";
  return shown;
}

std::string DescribeToken(const AnswerSources& sources, int64_t token) {
  const int64_t row_token = sources.place.first_token + token - 1;
  const auto text = ForTerminal(sources.texts[static_cast<size_t>(token)]);
  std::string shown =
      fmt::format("token {} of the answer, \"{}\", by layer and KV head\n", token, text);
  shown += fmt::format("{:>5} {:>4} {:>7}  {:<44} {:<16} {}\n", "layer", "head", "local",
                       "blocks, and their share of the attention", "runner-up", "blocks from");
  uint64_t search_ns = 0, fetch_ns = 0, wait_ns = 0;
  for (const HeadLog& head : sources.log.heads) {
    if (AnswerTokenOf(sources.shape, sources.place, head.row) == token)
      shown += HeadLine(sources.log, head);
  }
  for (const LayerLog& layer : sources.log.layers) {
    const int64_t last = TokenOfRow(sources.shape, layer.first_row + layer.rows - 1);
    if (TokenOfRow(sources.shape, layer.first_row) > row_token || last < row_token) continue;
    search_ns += layer.search_ns;
    fetch_ns += layer.fetch_ns;
    wait_ns += layer.wait_ns;
  }
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1000; };
  return shown + fmt::format(
                     "its step, all layers: {:.0f} us searching, {:.0f} us until blocks "
                     "were there, {:.0f} us of it waiting\n",
                     us(search_ns), us(fetch_ns), us(wait_ns));
}

}  // namespace cairn
