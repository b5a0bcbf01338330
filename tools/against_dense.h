// AgainstDense: the same answer with attention over the whole past, and what retrieval missed of
// it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/error.h"
#include "tools/answer_sources.h"

namespace cairn {

/// A block that heads would have used, and for which they were not given it.
struct MissedBlock {
  int64_t block = 0;
  int64_t times = 0;     ///< over the answer's tokens, layers and KV heads
  double top_share = 0;  ///< the largest share of a head's attention that it would have had
};

struct AgainstDense {
  /// Of the attention that goes to blocks of the past, the part on blocks that were read too.
  double covered = 0;
  std::vector<MissedBlock> missed;      ///< most times first
  std::map<int64_t, double> attention;  ///< by block, as Passage::attention
};

/// A head uses a block to which it gives this share of its attention, or more.
inline constexpr double kUsedShare = 0.05;

/// Runs everything up to the end of the answer once more, with full attention at true distances;
/// the answer's tokens stay those of the session. kInvalidArgument, with the remedy, if that is
/// longer than the model's context.
Result<AgainstDense> CompareWithDense(Workspace& workspace, const AnswerSources& sources,
                                      const SessionText& text);
/// Whether a session can be compared, before anything is computed; the error is CompareWithDense's.
Status CheckDenseLength(Workspace& workspace);

/// For people: how much was covered, and the first `count` blocks that were missed.
std::string DescribeDense(const AgainstDense& dense, const SessionText& text, size_t count);

}  // namespace cairn
