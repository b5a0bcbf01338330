// Certifier: how much of its attention a row may have missed by reading chosen blocks alone.
//
// The measure is a dense step on the same inputs: what was read stands where it was read, and every
// other candidate where it was scored. Missed is what the others weigh in the softmax over both; in
// landmark mode, in the softmax over gates and local rows, the first of the two (spec, section 2).
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/key_bounds.h"
#include "engine/near_keys.h"
#include "engine/options.h"
#include "engine/position_map.h"
#include "engine/selector.h"
#include "kernels/rope.h"

namespace cairn {

/// What one row and query head missed in one layer, as shares of its attention, 0 to 1.
struct MissedMass {
  int64_t row = 0;  ///< in the session
  int32_t layer = 0;
  int32_t head = 0;                                       ///< query head
  int32_t chosen = 0;                                     ///< blocks that were chosen
  float bound = 0;                                        ///< at most this
  float estimate = 0;                                     ///< about this
  float truth = std::numeric_limits<float>::quiet_NaN();  ///< this, if it was audited
};

/// A session fills it while it is certified (Session::Certify). Plain data.
struct MassLog {
  int64_t from_row = 0;  ///< rows before it are not recorded
  bool audit = false;    ///< read all that was left unread, and tell the truth too
  std::vector<MissedMass> heads{};
};

/// What a layer of a step read.
struct LayerRead {
  const StepPlan& plan;
  int32_t layer = 0;
  const float* q = nullptr;  ///< [rows, Hq, D] un-rotated
  int32_t rows = 0;
  int32_t first_position = 0;  ///< of row 0
  const Choice& choice;
  const float* lse = nullptr;  ///< [Hkv, rows, G] of all that was read
};

/// The share that something of weight exp(lse) has beside what was read.
float ShareOf(double lse, double read_lse);

/// Keeps buffers between calls; one thread at a time. What it refers to must outlive it.
class Certifier {
 public:
  Certifier(const SessionShape& shape, const RopeTable& rope, const NearKeys& near_keys)
      : shape_(shape), rope_(rope), near_keys_(near_keys) {}

  /// Measures rows [first, rows) of `read`.
  void Measure(const LayerRead& read, const KeyBounds& bounds, int32_t first);
  /// The same, and merges into `o` [rows, Hq, D] what stands in for all that those rows did not
  /// read; `bounds` has values.
  void StandIn(const LayerRead& read, const KeyBounds& bounds, int32_t first, float* o);
  /// Of the last Measure: [rows − first, Hq], without row and truth.
  std::span<const MissedMass> missed() const { return missed_; }

 private:
  struct Call {
    const LayerRead& read;
    const KeyBounds& bounds;
    int32_t first;
    float* o;  // null: measures only
  };
  struct Buffers {
    std::vector<float> queries;            // [rows, G, D]
    std::vector<float> estimates, bounds;  // [rows, G, far]
    std::vector<float> near;               // keys [near, D]
    std::vector<float> near_scores;        // of one row [near]; −inf where it was read
    std::vector<float> value, part;        // [D]
  };
  void Run(const Call& call);
  void MeasureHead(const Call& call, int32_t head, Buffers& buffers);
  /// Row r of those in the buffers, of the step's row `row` and the KV head's query head `g`.
  void MeasureRow(const Call& call, int32_t head, int32_t r, int32_t row, int32_t g,
                  Buffers& buffers);
  void Merge(const Call& call, int32_t head, int32_t r, int32_t row, int32_t g, double lse,
             Buffers& buffers) const;
  void RotateNear(const LayerRead& read, int32_t head, float* keys) const;
  void RotateQueries(const LayerRead& read, int32_t first, int32_t end, int32_t head,
                     float* queries) const;

  const SessionShape& shape_;
  const RopeTable& rope_;
  const NearKeys& near_keys_;
  std::vector<MissedMass> missed_;
  std::vector<Buffers> buffers_;  // by KV head
};

}  // namespace cairn
