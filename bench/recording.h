// Recording: queries and keys of a real model over a real text, as attention got them, and the
// AttentionRecorder that takes them down while a model reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/options.h"
#include "model/attention_backend.h"

namespace cairn {

/// A run of rows whose queries were kept: one whole step.
struct Probe {
  int64_t first_row = 0;
  int32_t rows = 0;
};

struct Recording {
  SessionShape shape;           ///< of the model that was recorded; L, Hq, Hkv, D, B and rotation
  std::string text;             ///< what was read, for the report
  std::vector<int32_t> layers;  ///< the layers that were kept, ascending
  int64_t rows = 0;             ///< T, landmark rows included
  std::vector<Probe> probes;    ///< ascending

  std::vector<std::vector<uint16_t>> keys;  ///< per kept layer [T, Hkv, D] f16, un-rotated
  std::vector<std::vector<float>> queries;  ///< per kept layer [rows of probes, Hq, D] un-rotated

  int64_t probe_rows() const;
  /// Key of one row and KV head as f32 [D].
  void Key(size_t layer, int64_t row, int32_t head, float* key) const;

  /// A line of JSON, then keys and queries layer by layer, as a NewFile. Its errors.
  Status Save(const std::string& path) const;
  /// kIo; kCorruption if the file is no recording, is too short, or if its header does not fit.
  static Result<Recording> Load(const std::string& path);
};

/// Passes everything on to `inner` and keeps keys of all rows, and queries of every
/// `probe_every`-th step, or, if that is 0, of steps since KeepQueries. Both must outlive it.
class AttentionRecorder : public AttentionBackend {
 public:
  AttentionRecorder(AttentionBackend& inner, int64_t probe_every, Recording* recording);

  Status BeginStep(int32_t rows) override;
  Status Attend(int32_t layer, const float* q, const float* k, const float* v, float* o) override;
  Status EndStep() override;
  void AbortStep() override { inner_.AbortStep(); }
  /// From the next step on.
  void KeepQueries() { keeps_all_ = true; }
  int64_t rows() const override { return inner_.rows(); }

 private:
  bool KeepsStep() const {
    return keeps_all_ || (probe_every_ > 0 && steps_ % probe_every_ == probe_every_ - 1);
  }

  AttentionBackend& inner_;
  const int64_t probe_every_;
  Recording& recording_;
  bool keeps_all_ = false;
  int64_t steps_ = 0;
  int32_t step_rows_ = 0;
};

}  // namespace cairn
