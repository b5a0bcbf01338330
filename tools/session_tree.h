// SessionTree: which sessions of a store begin with blocks of which others, as a tree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/session_catalog.h"

namespace cairn {

struct SessionTreeEntry {
  size_t session = 0;          ///< its place in the list the tree was made of
  std::string shares_with{};   ///< the older session with which it shares most; empty: none
  uint64_t shared_blocks = 0;  ///< ordinals from the first on
  int depth = 0;               ///< below how many others it stands
};

/// One entry for each session, forks below what they share with; otherwise in the order given.
std::vector<SessionTreeEntry> TreeOf(const std::vector<SessionRecord>& sessions);

/// How many ordinals from the first on two sessions have in common.
uint64_t SharedBeginning(const SessionRecord& a, const SessionRecord& b);

}  // namespace cairn
