// The ladder as documents: one of our own that every other output is made from (docs/cli.md lists
// its keys), one that Google Benchmark's tools read, and a table of commas.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "bench/ladder.h"
#include "bench/machine.h"

namespace cairn {

inline constexpr const char* kLadderFormat = "cairn ladder";
inline constexpr int kLadderVersion = 1;

nlohmann::json LadderJson(const LadderResult& result, const LadderOptions& options,
                          const Machine& machine, const std::string& command);
/// One "iteration" for each repetition, so that Google Benchmark's compare.py can test differences.
nlohmann::json GoogleBenchmarkJson(const LadderResult& result, const Machine& machine);
/// A line for each point of LadderJson, with a line of names before.
std::string LadderCsv(const nlohmann::json& ladder);

/// A document that LadderJson made, from a file. kNotFound, kCorruption (something else) or
/// kUnsupported (of a newer version).
Result<nlohmann::json> ReadLadder(const std::string& path);

}  // namespace cairn
