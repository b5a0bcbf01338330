#include "bench/recording.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/dtype.h"
#include "base/new_file.h"

namespace cairn {
namespace {

constexpr const char* kMagic = "cairn recording 1";

nlohmann::json Header(const Recording& recording) {
  const SessionShape& shape = recording.shape;
  nlohmann::json probes = nlohmann::json::array();
  for (const Probe& probe : recording.probes) probes.push_back({probe.first_row, probe.rows});
  return {{"magic", kMagic},
          {"text", recording.text},
          {"rows", recording.rows},
          {"layers", recording.layers},
          {"probes", probes},
          {"query_heads", shape.query_heads},
          {"kv_heads", shape.kv_heads},
          {"head_dim", shape.block.head_dim},
          {"block_rows", shape.block.block_rows},
          {"landmark", shape.mode == AttentionMode::kLandmark},
          {"interleaved", shape.rope_style == RopeStyle::kInterleaved},
          {"inverse_frequencies", shape.inverse_frequencies}};
}

/// Throws what nlohmann::json does where a value is absent or of another kind.
void FromHeader(const nlohmann::json& json, Recording* recording) {
  SessionShape& shape = recording->shape;
  recording->text = json.at("text");
  recording->rows = json.at("rows").get<int64_t>();
  recording->layers = json.at("layers").get<std::vector<int32_t>>();
  for (const auto& probe : json.at("probes")) {
    recording->probes.push_back({probe.at(0).get<int64_t>(), probe.at(1).get<int32_t>()});
  }
  shape.layers = static_cast<int32_t>(recording->layers.size());
  shape.query_heads = json.at("query_heads");
  shape.kv_heads = json.at("kv_heads");
  shape.block.head_dim = json.at("head_dim");
  shape.block.block_rows = json.at("block_rows");
  shape.mode = json.at("landmark") ? AttentionMode::kLandmark : AttentionMode::kUnmodified;
  shape.rope_style = json.at("interleaved") ? RopeStyle::kInterleaved : RopeStyle::kHalfSplit;
  shape.inverse_frequencies = json.at("inverse_frequencies").get<std::vector<double>>();
}

/// Whether everything that reads a recording finds in it what the header says.
Status Check(const Recording& recording) {
  CAIRN_TRY(recording.shape.Validate());
  if (recording.rows < 1) {
    return Fail(Errc::kCorruption, "it says that it has {} rows", recording.rows);
  }
  int64_t next = 0;
  for (const Probe& probe : recording.probes) {
    if (probe.first_row < next || probe.rows < 1 || probe.rows > recording.rows ||
        probe.first_row > recording.rows - probe.rows) {
      return Fail(Errc::kCorruption, "queries of {} rows from row {} on are not among its {} rows",
                  probe.rows, probe.first_row, recording.rows);
    }
    next = probe.first_row + probe.rows;
  }
  return Ok();
}

/// Bytes of keys and queries of one layer; an upper bound of it where that is beyond all files.
double LayerBytes(const Recording& recording) {
  const SessionShape& shape = recording.shape;
  const double keys = static_cast<double>(recording.rows) * shape.kv_heads * sizeof(uint16_t);
  const double queries =
      static_cast<double>(recording.probe_rows()) * shape.query_heads * sizeof(float);
  return (keys + queries) * shape.block.head_dim;
}

template <class T>
Status Write(NewFile& file, const std::vector<T>& numbers) {
  return file.Write({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)});
}

template <class T>
bool Read(std::ifstream& file, std::vector<T>* numbers) {
  const auto bytes = static_cast<std::streamsize>(numbers->size() * sizeof(T));
  file.read(reinterpret_cast<char*>(numbers->data()), bytes);
  return file.gcount() == bytes;
}

}  // namespace

int64_t Recording::probe_rows() const {
  int64_t sum = 0;
  for (const Probe& probe : probes) sum += probe.rows;
  return sum;
}

void Recording::Key(size_t layer, int64_t row, int32_t head, float* key) const {
  const auto dim = static_cast<size_t>(shape.block.head_dim);
  const auto at = static_cast<size_t>(row * shape.kv_heads + head) * dim;
  ConvertToFloat(DType::kF16, keys[layer].data() + at, key, dim);
}

Status Recording::Save(const std::string& path) const {
  CAIRN_TRY(NewFile file, NewFile::Create(path));
  CAIRN_TRY(file.Write(Header(*this).dump() + "\n"));
  for (size_t i = 0; i < keys.size(); ++i) {
    CAIRN_TRY(Write(file, keys[i]));
    CAIRN_TRY(Write(file, queries[i]));
  }
  return file.Finish();
}

Result<Recording> Recording::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  if (!std::getline(file, line)) return Fail(Errc::kIo, "could not read the recording {}", path);
  Recording recording;
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || json.value("magic", nlohmann::json()) != kMagic) {
    return Fail(Errc::kCorruption, "{} is no recording; make one with cairn bench recall --record",
                path);
  }
  Status good = Ok();
  try {
    FromHeader(json, &recording);
    good = Check(recording);
  } catch (const nlohmann::json::exception& error) {
    good = Fail(Errc::kCorruption, "{}", error.what());
  }
  if (!good) {
    return Fail(Errc::kCorruption, "the header of the recording {} is damaged: {}; make it again",
                path, good.error().message);
  }
  const std::streamoff begin = file.tellg();
  const std::streamoff end = file.seekg(0, std::ios::end).tellg();
  file.seekg(begin);
  if (LayerBytes(recording) * static_cast<double>(recording.layers.size()) >
      static_cast<double>(end - begin)) {
    return Fail(Errc::kCorruption, "the recording {} ends early; make it again", path);
  }
  const auto dim = static_cast<size_t>(recording.shape.block.head_dim);
  const auto keys = static_cast<size_t>(recording.rows * recording.shape.kv_heads) * dim;
  const auto queries =
      static_cast<size_t>(recording.probe_rows() * recording.shape.query_heads) * dim;
  for (size_t i = 0; i < recording.layers.size(); ++i) {
    recording.keys.emplace_back(keys);
    recording.queries.emplace_back(queries);
    if (!Read(file, &recording.keys.back()) || !Read(file, &recording.queries.back())) {
      return Fail(Errc::kCorruption, "the recording {} ends early; make it again", path);
    }
  }
  return recording;
}

AttentionRecorder::AttentionRecorder(AttentionBackend& inner, int64_t probe_every,
                                     Recording* recording)
    : inner_(inner), probe_every_(probe_every), recording_(*recording) {
  recording_.keys.resize(recording_.layers.size());
  recording_.queries.resize(recording_.layers.size());
}

Status AttentionRecorder::BeginStep(int32_t rows) {
  CAIRN_TRY(inner_.BeginStep(rows));
  step_rows_ = rows;
  return Ok();
}

Status AttentionRecorder::Attend(int32_t layer, const float* q, const float* k, const float* v,
                                 float* o) {
  const auto found = std::find(recording_.layers.begin(), recording_.layers.end(), layer);
  if (found != recording_.layers.end()) {
    const auto slot = static_cast<size_t>(found - recording_.layers.begin());
    const SessionShape& shape = recording_.shape;
    const int64_t head_floats = int64_t{step_rows_} * shape.block.head_dim;
    const auto keys = static_cast<size_t>(head_floats * shape.kv_heads);
    std::vector<uint16_t>& kept = recording_.keys[slot];
    kept.resize(kept.size() + keys);
    ConvertFromFloat(DType::kF16, k, kept.data() + kept.size() - keys, keys);
    if (KeepsStep()) {
      std::vector<float>& queries = recording_.queries[slot];
      queries.insert(queries.end(), q, q + head_floats * shape.query_heads);
    }
  }
  return inner_.Attend(layer, q, k, v, o);
}

Status AttentionRecorder::EndStep() {
  if (KeepsStep()) {
    recording_.probes.push_back({recording_.rows, step_rows_});
  }
  ++steps_;
  recording_.rows += step_rows_;
  return inner_.EndStep();
}

}  // namespace cairn
