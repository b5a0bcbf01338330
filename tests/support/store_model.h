// StoreModel: what a store must hold, by what its writer was told.
//
// All contents follow from seeds: a commit's tokens, blocks, summaries and tail are made from its
// seed, so a model is small, travels as a text, and a byte of another commit is a difference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"

namespace cairn::test {

/// More than a page, and no whole pages.
inline constexpr size_t kModelPayloadBytes = 4200;
inline constexpr uint16_t kModelLayers = 2;
inline constexpr uint16_t kModelHeads = 2;

/// One commit: blocks [first, first + blocks) of an extent, for all layers and heads.
struct ModelCommit {
  uint64_t seed = 0;
  uint32_t tokens = 0;
  uint32_t tail_bytes = 0;
  uint64_t extent = 0;
  uint32_t first = 0;
  uint32_t blocks = 0;
};

struct ModelSession {
  uint64_t id = 0;         ///< 0: not known yet, any will do
  int64_t inherited = -1;  ///< of a fork: how many of the commits below its source made; else -1
  std::vector<ModelCommit> commits{};
};

struct StoreModel {
  std::map<std::string, ModelSession> sessions{};

  std::string ToText() const;
  static StoreModel FromText(const std::string& text);
};

std::vector<std::byte> ModelPayload(const BlockId& id, uint64_t seed);
SessionRecord ModelRecord(const std::string& name, const ModelSession& session);
/// The last commit of `session`, as the catalog takes it.
SessionCommit ModelCommitOf(const std::string& name, const ModelSession& session);
/// Blocks [first, first + count) of an extent, all layers and heads, in order.
std::vector<BlockId> ModelBlocks(uint64_t extent, uint32_t first, uint32_t count);

/// One session; its id is filled in if it was not known.
Status CompareSession(ColdStore& store, const SessionCatalog& catalog, const std::string& name,
                      ModelSession& model);
/// Good if the store holds all of the model and no other session; otherwise says what differs.
/// Session ids that were not known are filled in.
Status CompareSessions(ColdStore& store, const SessionCatalog& catalog, StoreModel& model);
/// Good if the store has no blocks but the model's, as it must when a writer has just opened it.
Status CompareExtents(ColdStore& store, const StoreModel& model);

}  // namespace cairn::test
