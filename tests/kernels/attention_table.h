// The one table of cases that every implementation of attention is held to.
#pragma once

#include <vector>

#include "tests/kernels/attention_case.h"

namespace cairn {

const std::vector<AttentionCase>& AttentionCases();
/// Those that plain loops do in no time.
std::vector<AttentionCase> SmallAttentionCases();

}  // namespace cairn
