#include "tools/conform_case.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "storage/memory_cold_store.h"
#include "tools/text_file.h"

namespace cairn {
namespace {

using nlohmann::json;

// The formula golden files name in `gen` instead of listing numbers.
void Generate(ConformInput* input) {
  for (int32_t i = 0; i < input->rows; ++i) {
    for (int32_t c = 0; c < input->head_dim; ++c) {
      input->q.push_back(static_cast<float>(1.5 * std::sin(0.7 * i + 1.3 * c + 0.1)));
      input->k.push_back(static_cast<float>(1.5 * std::cos(1.1 * i - 0.9 * c + 0.3)));
      input->v.push_back(static_cast<float>(std::sin(0.37 * i * (c + 1) + 0.5)));
    }
  }
}

// A count from 0 to 2^20: more than any case has rows.
Result<int32_t> ReadCount(const json& entry, const char* name) {
  const auto count = entry.at(name).get<int64_t>();
  if (count >= 0 && count <= (1 << 20)) return static_cast<int32_t>(count);
  return Fail(Errc::kInvalidArgument, "{} = {}: use 0 to 1048576", name, count);
}

Result<std::vector<float>> ReadRows(const json& j, const char* name, const ConformInput& input) {
  std::vector<float> rows;
  for (const json& row : j.at(name)) {
    if (static_cast<int32_t>(row.size()) != input.head_dim) {
      return Fail(Errc::kInvalidArgument, "'{}' has a row of {} numbers, not d = {}", name,
                  row.size(), input.head_dim);
    }
    for (const json& number : row) rows.push_back(number.get<float>());
  }
  if (std::ssize(rows) != static_cast<int64_t>(input.rows) * input.head_dim) {
    return Fail(Errc::kInvalidArgument, "'{}' has {} rows, not T = {}", name,
                rows.size() / input.head_dim, input.rows);
  }
  return rows;
}

Status ReadInput(const json& j, ConformInput* input) {
  CAIRN_TRY(input->regular_tokens, ReadCount(j, "m"));
  CAIRN_TRY(input->head_dim, ReadCount(j, "d"));
  input->rope_base = j.value("rope_base", 10000.0);
  const std::string style = j.value("rope_style", "half-split");
  if (style.rfind("interleaved", 0) == 0) {
    input->rope_style = RopeStyle::kInterleaved;
  } else if (style.rfind("half-split", 0) != 0) {
    return Fail(Errc::kInvalidArgument, "rope_style '{}': use half-split or interleaved", style);
  }
  input->rows = static_cast<int32_t>(j.contains("q") ? j.at("q").size() : 0);
  if (j.contains("T")) {
    CAIRN_TRY(input->rows, ReadCount(j, "T"));
  }
  if (input->regular_tokens < 1 || input->head_dim < 2 || input->head_dim % 2 != 0 ||
      input->rows < 1 || input->rows > (1 << 20)) {
    return Fail(Errc::kInvalidArgument, "m = {}, d = {}, T = {}: m and T are at least 1, d is even",
                input->regular_tokens, input->head_dim, input->rows);
  }
  if (!j.contains("q")) {
    Generate(input);
    return Ok();
  }
  CAIRN_TRY(input->q, ReadRows(j, "q", *input));
  CAIRN_TRY(input->k, ReadRows(j, "k", *input));
  CAIRN_TRY(input->v, ReadRows(j, "v", *input));
  return Ok();
}

// Expected outputs must be T rows of d numbers: they are read by index.
Status CheckRows(const ConformCase& test, const ConformInput& input) {
  const auto dim = static_cast<size_t>(input.head_dim);
  const bool even = std::all_of(test.expected.begin(), test.expected.end(),
                                [dim](const auto& row) { return row.size() == dim; });
  if (std::ssize(test.expected) == input.rows && even) return Ok();
  return Fail(Errc::kInvalidArgument, "case '{}': its expected rows are not T = {} rows of d = {}",
              test.name, input.rows, input.head_dim);
}

Status ReadCases(const json& j, const ConformInput& input, std::vector<ConformCase>* cases) {
  for (const json& entry : j.at("cases")) {
    ConformCase& test = cases->emplace_back();
    CAIRN_TRY(test.retrieve, ReadCount(entry, "topk"));
    CAIRN_TRY(test.chunk, ReadCount(entry, "chunk"));
    CAIRN_TRY(test.selection, ParseSelection(entry.at("select").get<std::string>()));
    test.name = fmt::format("topk {} chunk {} {}", test.retrieve, test.chunk,
                            SelectionName(test.selection));
    test.expected = entry.at("out").get<std::vector<std::vector<double>>>();
    if (entry.contains("selected")) {
      test.expected_blocks = entry.at("selected").get<std::vector<std::vector<int64_t>>>();
    }
    if (test.chunk < 1) {
      return Fail(Errc::kInvalidArgument, "case '{}': chunk must be at least 1", test.name);
    }
    CAIRN_TRY(CheckRows(test, input));
  }
  if (!j.contains("dense")) return Ok();
  // Dense attention is every block chosen in every step.
  ConformCase& dense = cases->emplace_back();
  dense.name = "dense";
  dense.retrieve = input.rows;
  dense.chunk = input.rows;
  dense.expected = j.at("dense").get<std::vector<std::vector<double>>>();
  return CheckRows(dense, input);
}

SessionShape ShapeOf(const ConformInput& input) {
  SessionShape shape;
  shape.layers = shape.query_heads = shape.kv_heads = 1;
  shape.mode = AttentionMode::kLandmark;
  shape.block = {input.regular_tokens + 1, input.head_dim, DType::kF32};
  shape.rope_style = input.rope_style;
  shape.inverse_frequencies = RopeTable::InverseFrequencies(input.rope_base, input.head_dim);
  return shape;
}

void Compare(const ConformCase& test, const ConformInput& input, const std::vector<float>& out,
             ConformResult* result) {
  for (int32_t i = 0; i < input.rows; ++i) {
    for (int32_t c = 0; c < input.head_dim; ++c) {
      const double error = std::abs(out[i * input.head_dim + c] - test.expected[i][c]);
      result->max_error = std::isfinite(error) ? std::max(result->max_error, error) : INFINITY;
    }
  }
  result->compares_blocks = !test.expected_blocks.empty();
  result->selected_match = !result->compares_blocks || result->blocks == test.expected_blocks;
}

}  // namespace

Status ReadConformFile(const std::string& path, ConformInput* input,
                       std::vector<ConformCase>* cases) {
  CAIRN_TRY(auto text, ReadText(path));
  try {  // the JSON library reports by exception; this is its adapter
    const json j = json::parse(text);
    CAIRN_TRY(ReadInput(j, input));
    CAIRN_TRY(ReadCases(j, *input, cases));
  } catch (const json::exception& error) {
    return Fail(Errc::kInvalidArgument, "{} is not a conformance file: {}", path, error.what());
  }
  return Ok();
}

Result<ConformResult> RunConformCase(const ConformInput& input, const ConformCase& test) {
  SessionShape shape = ShapeOf(input);
  SessionOptions options;
  options.retrieve = std::min(test.retrieve, input.rows / shape.block.block_rows);
  options.max_step_rows = std::min(test.chunk, input.rows);
  options.selection = test.selection;
  shape.context_rows = (options.retrieve + 2) * shape.block.block_rows + options.max_step_rows;
  EngineOptions engine_options;
  CAIRN_TRY(auto engine, Engine::Open(std::make_unique<MemoryColdStore>(), engine_options));
  CAIRN_TRY(auto session, engine->CreateSession("conform", shape, options, "{}"));

  ConformResult result;
  result.name = test.name;
  std::vector<float> out(input.q.size());
  for (int32_t first = 0; first < input.rows; first += options.max_step_rows) {
    const int32_t rows = std::min(options.max_step_rows, input.rows - first);
    const int64_t offset = static_cast<int64_t>(first) * input.head_dim;
    CAIRN_TRY(session->BeginStep(rows));
    CAIRN_TRY(session->Attend(0, input.q.data() + offset, input.k.data() + offset,
                              input.v.data() + offset, out.data() + offset));
    const Choice& choice = session->last_choice();
    for (int32_t row = 0; row < rows; ++row) {
      const auto blocks =
          choice.k == 0 ? std::span<const int64_t>() : choice.Of(0, choice.groups == 1 ? 0 : row);
      result.blocks.emplace_back(blocks.begin(), blocks.end());
    }
    CAIRN_TRY(session->EndStep());
  }
  Compare(test, input, out, &result);
  return result;
}

}  // namespace cairn
