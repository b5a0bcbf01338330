#include "tools/session_tree.h"

#include <algorithm>
#include <optional>

namespace cairn {
namespace {

struct Parent {
  std::optional<size_t> session{};
  uint64_t shared_blocks = 0;
};

/// The older session with the most common blocks; of several the oldest.
Parent ParentOf(const std::vector<SessionRecord>& sessions, size_t child) {
  Parent parent;
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (sessions[i].id >= sessions[child].id) continue;
    const uint64_t shared = SharedBeginning(sessions[i], sessions[child]);
    const bool as_many = shared == parent.shared_blocks && parent.session.has_value() &&
                         sessions[i].id < sessions[*parent.session].id;
    if (shared > parent.shared_blocks || as_many) parent = {i, shared};
  }
  return parent;
}

}  // namespace

uint64_t SharedBeginning(const SessionRecord& a, const SessionRecord& b) {
  uint64_t shared = 0;
  size_t i = 0, j = 0;
  uint32_t past_i = 0, past_j = 0;  // ordinals of the current ranges that were compared
  while (i < a.ranges.size() && j < b.ranges.size()) {
    const ExtentRange& first = a.ranges[i];
    const ExtentRange& second = b.ranges[j];
    const bool same = first.extent == second.extent &&
                      uint64_t{first.first} + past_i == uint64_t{second.first} + past_j;
    if (!same) break;
    const uint32_t count = std::min(first.count - past_i, second.count - past_j);
    shared += count;
    past_i += count;
    past_j += count;
    if (past_i == first.count) ++i, past_i = 0;
    if (past_j == second.count) ++j, past_j = 0;
  }
  return shared;
}

std::vector<SessionTreeEntry> TreeOf(const std::vector<SessionRecord>& sessions) {
  std::vector<Parent> parents;
  for (size_t i = 0; i < sessions.size(); ++i) parents.push_back(ParentOf(sessions, i));
  std::vector<SessionTreeEntry> tree;
  std::vector<std::pair<size_t, int>> waiting;  // session and depth, the next one last
  for (size_t root = sessions.size(); root-- > 0;) {
    if (!parents[root].session.has_value()) waiting.push_back({root, 0});
  }
  while (!waiting.empty()) {
    const auto [session, depth] = waiting.back();
    waiting.pop_back();
    const Parent& parent = parents[session];
    tree.push_back({session, parent.session ? sessions[*parent.session].name : "",
                    parent.shared_blocks, depth});
    for (size_t child = sessions.size(); child-- > 0;) {
      if (parents[child].session == session) waiting.push_back({child, depth + 1});
    }
  }
  return tree;
}

}  // namespace cairn
