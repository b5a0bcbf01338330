#include "tools/against_dense.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/plain_text.h"
#include "model/dense_attention.h"
#include "tools/interrupt.h"

namespace cairn {
namespace {

constexpr size_t kShownCharacters = 90;
constexpr int64_t kRowsToAsk = 512;  // for question and answer, at least

using Place = std::tuple<int64_t, int32_t, int32_t>;  // row, layer, KV head

int64_t RowOfToken(const SessionShape& shape, int64_t token) {
  if (shape.mode != AttentionMode::kLandmark) return token;
  return token + token / (shape.block.block_rows - 1);
}

/// Rows of one step that came before it, by row: what is younger was attended in any case.
int64_t StepBegin(const StepLog& log, int64_t row) {
  for (const LayerLog& layer : log.layers) {
    if (row >= layer.first_row && row < layer.first_row + layer.rows) return layer.first_row;
  }
  return row;
}

Status TooLong(Workspace& workspace, int64_t rows, int64_t most) {
  const SessionShape& shape = workspace.session().shape();
  const std::string& name = workspace.session().record().name;
  const int64_t fits =
      std::max<int64_t>(0, most - kRowsToAsk) * shape.block_tokens() / shape.block.block_rows;
  return Fail(
      Errc::kInvalidArgument,
      "--against dense: full attention reaches {} rows, the model's context, and this would "
      "have {}; ask a fork of the session's beginning (cairn sessions fork {} NEW --at {})",
      most, rows, name, fits);
}

Result<StepLog> RunDense(Workspace& workspace, const AnswerSources& sources,
                         const SessionText& text) {
  const Session& session = workspace.session();
  DenseAttention dense(session.shape());
  LoadedModel& model = workspace.model();
  Runner runner(model.llama(), dense, model.landmark(), workspace.profile().chunk);
  StepLog log{.from_row = RowOfToken(session.shape(), sources.place.first_token - 1)};
  dense.Observe(&log);
  // The last token of the answer predicts nothing that was used.
  const int64_t end = sources.place.first_token + std::ssize(sources.texts) - 1;
  std::span<const uint32_t> left(text.tokens().data(), static_cast<size_t>(end));
  while (!left.empty()) {
    if (Interrupted()) return Fail(Errc::kInterrupted, "stopped; the session is as it was");
    const auto count = static_cast<size_t>(runner.NextStep(left));
    CAIRN_TRY(runner.Step(left.first(count)));
    left = left.subspan(count);
  }
  return log;
}

}  // namespace

Status CheckDenseLength(Workspace& workspace) {
  const int64_t most = workspace.model().llama().config().context;
  const int64_t rows = workspace.session().rows();
  return rows <= most ? Status(Ok()) : TooLong(workspace, rows, most);
}

Result<AgainstDense> CompareWithDense(Workspace& workspace, const AnswerSources& sources,
                                      const SessionText& text) {
  const int64_t most = workspace.model().llama().config().context;
  const int64_t rows = RowOfToken(sources.shape, text.size());
  if (rows > most) return TooLong(workspace, rows, most).as_failure();
  if (sources.texts.empty()) return AgainstDense{.covered = 1, .missed = {}, .attention = {}};
  CAIRN_TRY(const StepLog log, RunDense(workspace, sources, text));
  std::map<Place, std::set<int64_t>> given;
  for (const HeadLog& head : sources.log.heads) {
    auto& blocks = given[{head.row, head.layer, head.head}];
    for (const ReadBlock& read : sources.log.Of(head)) blocks.insert(read.block);
  }
  AgainstDense result;
  std::map<int64_t, MissedBlock> missed;
  double past = 0, covered = 0;
  for (const HeadLog& head : log.heads) {
    const auto& blocks = given[{head.row, head.layer, head.head}];
    const int64_t complete = StepBegin(sources.log, head.row) / sources.shape.block.block_rows;
    for (const ReadBlock& read : log.Of(head)) {
      result.attention[read.block] += read.share / static_cast<double>(log.heads.size());
      if (read.block >= complete) continue;  // among the local rows
      past += read.share;
      if (blocks.contains(read.block)) covered += read.share;
      if (blocks.contains(read.block) || read.top_share < kUsedShare) continue;
      MissedBlock& one = missed[read.block];
      one.block = read.block;
      ++one.times;
      one.top_share = std::max<double>(one.top_share, read.top_share);
    }
  }
  result.covered = past > 0 ? covered / past : 1;
  for (const auto& [block, one] : missed) result.missed.push_back(one);
  std::ranges::sort(result.missed, [](const MissedBlock& a, const MissedBlock& b) {
    return std::tuple(-a.times, -a.top_share, a.block) <
           std::tuple(-b.times, -b.top_share, b.block);
  });
  return result;
}

std::string DescribeDense(const AgainstDense& dense, const SessionText& text, size_t count) {
  std::string shown = fmt::format(
      "full attention: {:.1f} % of what it gives to the past is on blocks that were read; {} "
      "blocks were missed by a head that gives them {:.0f} % or more\n",
      100 * dense.covered, dense.missed.size(), 100 * kUsedShare);
  for (size_t i = 0; i < std::min(count, dense.missed.size()); ++i) {
    const MissedBlock& missed = dense.missed[i];
    shown += fmt::format("missed {} times: block {}, up to {:.0f} %: {}\n", missed.times,
                         missed.block, 100 * missed.top_share,
                         Shortened(ForTerminal(text.BlockText(missed.block)), kShownCharacters));
  }
  return shown;
}

}  // namespace cairn
