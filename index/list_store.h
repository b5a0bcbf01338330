// ListStore: the representatives of one partition's blocks as 8-bit codes, in lists of vectors that
// are near each other, so that a search need not look at all of them.
//
// A list has a centre and a spread. A new vector goes to the list whose centre is nearest; a list
// that has grown too long is parted in two (two means of its vectors). So lists grow with what is
// appended, without ever being made anew. Codes are steps from one centre of the whole partition,
// with a scale of each vector's own; a list that is parted takes its codes along as they are.
// Before there are so many vectors that lists are worth having, they stay as they came. What is
// held depends on the vectors and their order alone, not on how many were appended at once;
// Truncate is the exception: lists stay parted as they were, unless it comes back to what was held
// at the last Keep. For that a store remembers what lists were that have changed since. Owns its
// memory. One writer or any number of readers at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "index/code_numbers.h"
#include "index/representative_store.h"
#include "index/tile_dots.h"

namespace cairn {

/// Vectors of one list; vector r of block b has the number b·R + r.
struct VectorList {
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  std::vector<Line> codes;        ///< tiles (tile_dots.h) of code + 128
  std::vector<uint16_t> scales;   ///< bf16; a tile more than there are
  std::vector<uint32_t> numbers;  ///< ascending
  uint32_t first = 0;             ///< numbers.front() and .back(), where a search looks anyway
  uint32_t last = 0;
  double squares = 0;  ///< Σ |vector − centre|²
  bool equal = true;   ///< all codes and scales are the same

  /// How long `scales` is for so many vectors: from any of these on a tile can be read.
  static size_t PaddedScales(int64_t count) {
    return static_cast<size_t>((count + kTileVectors - 1) / kTileVectors * kTileVectors +
                               kTileVectors);
  }
  int64_t count() const { return static_cast<int64_t>(numbers.size()); }
  const uint8_t* tiles() const { return codes.data()->bytes; }
};

/// Sums of a tile.
struct alignas(64) SumLine {
  int32_t sums[kTileVectors];
};

class ListStore {
 public:
  /// A block has `representatives` vectors of `dim` elements; there are lists from `listed_from`
  /// vectors on, at least 256, and before that they are kept as `type` (kF32 or kBF16).
  ListStore(DType type, int32_t dim, int32_t representatives, int64_t listed_from);

  /// Appends `count` blocks; `vectors` is [count, representatives, dim] f32, finite as bf16.
  /// There is room for 2³² vectors. With `later` lists are not made before Settle.
  void Append(int64_t count, const float* vectors, bool later = false);
  /// Whether lists wait for Settle.
  bool waits() const { return waits_; }
  /// Makes the lists that wait; they are what they would be if none had waited.
  void Settle();
  /// What is held now is what Truncate comes back to, whatever is appended meanwhile; of lists that
  /// wait, what Settle makes of them if it comes before.
  void Keep();
  /// Forgets blocks with ordinal ≥ size.
  void Truncate(int64_t size);

  int64_t size() const { return vectors_ / representatives_; }
  int32_t dim() const { return dim_; }
  int32_t representatives() const { return representatives_; }
  int64_t padded_dim() const { return (dim_ + kCodesAtOnce - 1) / kCodesAtOnce * kCodesAtOnce; }
  uint64_t memory_bytes() const;

  /// Whether there are lists; else unlisted() has all vectors.
  bool listed() const { return !lists_.empty(); }
  const RepresentativeStore& unlisted() const { return unlisted_; }
  std::span<const VectorList> lists() const { return lists_; }
  /// The centres of all lists, coded as vectors are.
  const VectorList& centres() const { return centres_; }
  /// [lists]: log of how many vectors a list has; −infinity for none.
  const float* logs() const { return logs_.data(); }
  /// [lists]: about how large the largest of so many standard normal numbers is.
  const float* extremes() const { return extremes_.data(); }
  /// [lists]: root mean square of an element of a list's vectors around its centre.
  const float* spreads() const { return spreads_.data(); }

  /// The deviation of a query's products with the vectors of a list, over the list's spread: lists
  /// are wider in some directions than in others, and all of them in about the same. At most 1e18.
  float Width(const float* query) const;

  /// Element d of a vector is centre()[d] + scale·step()[d]·(code − 128); step is bf16.
  const float* centre() const { return centre_.data(); }
  const uint16_t* step() const { return step_.data(); }
  /// The vector at `place` of a list as f32 [D].
  void Read(const VectorList& list, int64_t place, float* vector) const;

 private:
  CodeSteps steps() const {
    return {centre_.data(), wide_step_.data(), inverse_step_.data(), dim_};
  }
  /// What a list was.
  struct KeptList {
    int64_t count;
    uint32_t first, last;
    double squares;
    bool equal;
    float centre_squares, spread, log, extreme;
    std::optional<VectorList> parted;  // all of it and more, if it was parted since
    std::vector<uint8_t> centre;       // then its centre's codes
    uint16_t centre_scale;
  };
  /// What is remembered since Keep.
  struct Kept {
    int64_t vectors = 0;                          // that were held
    std::optional<RepresentativeStore> unlisted;  // if lists were made since
    bool changed = false;                         // lists that were there have; then also:
    size_t lists = 0;
    std::map<int64_t, KeptList> was;  // those that changed
    std::vector<float> directions;
    float directions_noted = 0;
  };

  void AppendVector(const float* vector, uint32_t number);
  void AppendToLists(int64_t count, const float* vectors);
  void MakeLists(const std::vector<float>& vectors);
  std::vector<float> ReadUnlisted() const;
  /// Leaves none unlisted, and remembers them if they are what was kept.
  std::vector<float> TakeUnlisted();
  /// Before the first vector behind what was kept comes to the lists.
  void RememberLists();
  /// Before list `list` changes.
  void Remember(int64_t list);
  /// Before a list whose vectors were taken out gets another centre.
  void RememberParted(int64_t list, VectorList vectors);
  /// Comes back to what was kept, from what is remembered of it.
  void Restore();
  void RestoreList(int64_t number, KeptList* was);
  /// Forgets all lists.
  void DropLists();
  /// Takes vectors from `left` on out of the lists.
  void CutLists(int64_t left);
  void CutList(VectorList* list, int64_t left) const;
  /// Codes [padded_dim] of a vector, in `codes`; returns the scale.
  uint16_t Encode(const float* vector, uint8_t* codes) const;
  void Put(VectorList* list, const uint8_t* codes, uint16_t scale, uint32_t number) const;
  void Write(VectorList* list, int64_t place, const uint8_t* codes) const;
  /// Parts a list until it and what came of it are short enough.
  void Part(int64_t list);
  int64_t NearestList(const float* vector);
  /// Makes room for it if `list` is a new one.
  void SetCentre(int64_t list, const std::vector<float>& centre);
  /// Takes note of the direction in which a vector lies from its list's centre.
  void NoteDirection(const float* vector, const float* centre, double squared_distance);
  /// Sums a list's squares anew.
  void Measure(int64_t list);
  void SetSpread(int64_t list);
  /// How many vectors a list may have.
  int64_t LongestList() const;
  void CopyCodes(const VectorList& list, int64_t place, uint8_t* codes) const;

  int32_t dim_;
  int32_t representatives_;
  int64_t listed_from_;
  int64_t vectors_ = 0;
  bool waits_ = false;
  RepresentativeStore unlisted_;
  std::vector<float> centre_;                    // [D]
  std::vector<uint16_t> step_;                   // [D]
  std::vector<float> wide_step_, inverse_step_;  // [D]: of these as f32
  std::vector<VectorList> lists_;
  VectorList centres_;
  std::vector<float> squares_;  // [lists]: |centre|²
  std::vector<float> spreads_;
  std::vector<float> logs_;
  std::vector<float> extremes_;
  std::vector<float> directions_;  // [D, D]: sums of products of their elements
  float directions_noted_ = 0;
  Kept kept_;

  // Of the vector that is appended.
  std::vector<uint8_t> codes_;
  std::vector<int8_t> query_;
  std::vector<SumLine> sums_;
  std::vector<float> scores_;
};

}  // namespace cairn
