// Beginning: how much of a session another one may share that begins with the same tokens, so that
// it ends up with the bytes that reading all by itself gives.
//
// Stored bytes depend on where reading steps begin and end, and on how the past was used for them.
// A session that was read from its first token in full steps has what any other has at the end of
// such a step. Behind a cut inside a step, a change of options or a conversation that no longer
// holds: the beginning ends there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/options.h"

namespace cairn {

struct SessionProfile;

struct Beginning {
  int64_t tokens = 0;   ///< read in full steps, from the first token on; ends with a step
  std::string reading;  ///< how, as ReadingText says it; empty while there are no tokens
};

/// What the bytes of a step depend on beside model and profile: options of a command, the device
/// (nullopt: the CPU), and cores.
std::string ReadingText(const SessionProfile& profile, const SessionOptions& options,
                        std::optional<int32_t> device);

/// The last token count at or below `most_tokens` where a full step ends, of those that a reading
/// from the first token takes; with `behind_block` one where a block ends too. 0 always does.
int64_t LastStepEnd(const SessionProfile& profile, int64_t most_tokens, bool behind_block);

/// Tells the profile that a step has read tokens [first, end).
void ExtendBeginning(SessionProfile& profile, int64_t first, int64_t end,
                     const std::string& reading);

}  // namespace cairn
