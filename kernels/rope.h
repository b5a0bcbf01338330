// Rotary position embedding: a table of cosines and sines, and rotation of rows by it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cairn {

/// Which elements of a row form a pair: (c, c + D/2), as in Hugging Face weights, or (2c, 2c + 1),
/// as in GGUF files of the llama architecture.
enum class RopeStyle : uint8_t { kHalfSplit = 0, kInterleaved = 1 };

/// Angles position · inverse_frequency[c] for positions [0, positions). Immutable after Reserve.
class RopeTable {
 public:
  /// `inverse_frequencies` has D/2 entries (radians per position). Angles are computed in double.
  RopeTable(RopeStyle style, std::span<const double> inverse_frequencies);

  /// Inverse frequencies base^(−2c/D) for c in [0, D/2), the usual ones.
  static std::vector<double> InverseFrequencies(double base, int32_t head_dim);

  /// Makes positions [0, positions) available. Not while another thread uses the table.
  void Reserve(int32_t positions);

  RopeStyle style() const { return style_; }
  int32_t head_dim() const { return static_cast<int32_t>(2 * inverse_frequencies_.size()); }
  int32_t positions() const { return positions_; }
  /// D/2 cosines, then D/2 sines, of one position.
  const float* at(int32_t position) const {
    return table_.data() + static_cast<int64_t>(position) * head_dim();
  }

  /// y = R(position) x for one row of D; x and y may be the same.
  void Rotate(int32_t position, const float* x, float* y) const;

 private:
  RopeStyle style_;
  std::vector<double> inverse_frequencies_;
  int32_t positions_ = 0;
  std::vector<float> table_;
};

}  // namespace cairn
