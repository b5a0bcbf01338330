#include "index/list_store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/dtype.h"
#include "index/code_kernels.h"
#include "index/code_numbers.h"
#include "index/landmark_index.h"
#include "index/score_kernels.h"
#include "index/two_means.h"

namespace cairn {
namespace {

constexpr int64_t kShortList = 128;
constexpr uint32_t kNotedEvery = 16;  // vectors: more would say the same

uint8_t* Bytes(VectorList* list) { return reinterpret_cast<uint8_t*>(list->codes.data()); }

uint64_t MemoryOf(const VectorList& list) {
  return list.codes.capacity() * sizeof(VectorList::Line) +
         list.scales.capacity() * sizeof(uint16_t) + list.numbers.capacity() * sizeof(uint32_t);
}

// The largest of n standard normal numbers: its expectation to a tenth.
float Extreme(int64_t n) {
  if (n < 2) return 0.0f;
  if (n == 2) return 0.56f;
  const double root = std::sqrt(2 * std::log(static_cast<double>(n)));
  return static_cast<float>(root - (std::log(0.5 * root * root) + std::log(4 * M_PI)) / (2 * root) +
                            0.15);
}

float Clamped(double number) {
  return static_cast<float>(std::min(number, double{std::numeric_limits<float>::max()}));
}

float Widen(uint16_t bf16) { return std::bit_cast<float>(uint32_t{bf16} << 16); }

}  // namespace

ListStore::ListStore(DType type, int32_t dim, int32_t representatives, int64_t listed_from)
    : dim_(dim),
      representatives_(representatives),
      listed_from_(listed_from),
      unlisted_(type, dim, representatives) {}

void ListStore::Append(int64_t count, const float* vectors, bool later) {
  CAIRN_CHECK(vectors_ + count * representatives_ <= int64_t{1} << 32);
  if (!listed()) {
    const int64_t room = (listed_from_ - vectors_ + representatives_ - 1) / representatives_;
    const int64_t added = later || waits_ ? count : std::min(count, room);
    unlisted_.Append(added, vectors);
    vectors_ += added * representatives_;
    vectors += added * representatives_ * dim_;
    count -= added;
    waits_ = waits_ || (later && vectors_ >= listed_from_);
    if (vectors_ < listed_from_ || waits_) return;
    MakeLists(TakeUnlisted());
  }
  AppendToLists(count, vectors);
}

void ListStore::Settle() {
  if (!waits_) return;
  waits_ = false;
  const std::vector<float> plain = TakeUnlisted();
  const int64_t size = this->size();
  // Lists begin with as many as if they had not waited.
  const int64_t begun = (listed_from_ + representatives_ - 1) / representatives_;
  const int64_t block_floats = int64_t{representatives_} * dim_;
  vectors_ = begun * representatives_;
  MakeLists({plain.begin(), plain.begin() + begun * block_floats});
  AppendToLists(size - begun, plain.data() + begun * block_floats);
}

void ListStore::AppendToLists(int64_t count, const float* vectors) {
  // Rounded as those before the lists: equal ones stay equal.
  std::vector<float> vector(static_cast<size_t>(dim_));
  std::vector<uint16_t> rounded(vector.size());
  for (int64_t i = 0; i < count * representatives_; ++i, vectors += dim_) {
    std::copy_n(vectors, dim_, vector.begin());
    if (unlisted_.type() == DType::kBF16) {
      ConvertFromFloat(DType::kBF16, vectors, rounded.data(), rounded.size());
      ConvertToFloat(DType::kBF16, rounded.data(), vector.data(), vector.size());
    }
    AppendVector(vector.data(), static_cast<uint32_t>(vectors_));
    ++vectors_;
  }
}

// Takes the centre and the steps of all codes from the vectors so far, [vectors_, D], and lists
// these.
void ListStore::MakeLists(const std::vector<float>& vectors) {
  centre_.resize(static_cast<size_t>(dim_));
  step_.resize(static_cast<size_t>(dim_));
  std::vector<double> deviation(static_cast<size_t>(dim_));
  for (int32_t d = 0; d < dim_; ++d) {
    double sum = 0;
    for (int64_t v = 0; v < vectors_; ++v) sum += vectors[static_cast<size_t>(v * dim_ + d)];
    const double mean = sum / static_cast<double>(vectors_);
    double squares = 0;
    for (int64_t v = 0; v < vectors_; ++v) {
      const double difference = vectors[static_cast<size_t>(v * dim_ + d)] - mean;
      squares += difference * difference;
    }
    centre_[static_cast<size_t>(d)] = static_cast<float>(mean);
    deviation[static_cast<size_t>(d)] = std::sqrt(squares / static_cast<double>(vectors_));
  }
  // Steps are relative: scales do the rest. None is so small that a later vector, which deviates
  // where these did not, would take all of its scale there.
  constexpr double kLeast = 1.0 / 64;
  const double most = *std::max_element(deviation.begin(), deviation.end());
  for (size_t d = 0; d < step_.size(); ++d) {
    step_[d] =
        FloatToBf16(static_cast<float>(most == 0 ? 1.0 : std::max(kLeast, deviation[d] / most)));
    wide_step_.push_back(Widen(step_[d]));
    inverse_step_.push_back(1.0f / wide_step_.back());
  }
  codes_.resize(static_cast<size_t>(padded_dim()));
  lists_.emplace_back();
  for (int64_t v = 0; v < vectors_; ++v) {
    const uint16_t scale = Encode(vectors.data() + v * dim_, codes_.data());
    Put(&lists_.front(), codes_.data(), scale, static_cast<uint32_t>(v));
  }
  SetCentre(0, centre_);
  Part(0);
  directions_.assign(static_cast<size_t>(dim_ * dim_), 0.0f);
  std::vector<float> vector(static_cast<size_t>(dim_)), centre(vector.size());
  for (size_t j = 0; j < lists_.size(); ++j) {
    Read(centres_, static_cast<int64_t>(j), centre.data());
    for (int64_t v = 0; v < lists_[j].count(); ++v) {
      if (lists_[j].numbers[static_cast<size_t>(v)] % kNotedEvery != 0) continue;
      Read(lists_[j], v, vector.data());
      NoteDirection(vector.data(), centre.data(),
                    SquaredDistance(vector.data(), centre.data(), dim_));
    }
  }
}

void ListStore::NoteDirection(const float* vector, const float* centre, double squared_distance) {
  if (!(squared_distance > 0)) return;
  const double per_length = 1.0 / std::sqrt(squared_distance);
  std::vector<float> direction(static_cast<size_t>(dim_));
  for (size_t d = 0; d < direction.size(); ++d) {
    direction[d] = static_cast<float>((double{vector[d]} - double{centre[d]}) * per_length);
  }
  float* sums = directions_.data();
  for (const float element : direction) {
    for (size_t e = 0; e < direction.size(); ++e) sums[e] += element * direction[e];
    sums += dim_;
  }
  ++directions_noted_;
}

float ListStore::Width(const float* query) const {
  float products[kMaxDim + 3];
  ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(directions_.data()), dim_, dim_, query,
             1, products, dim_ + 3);
  const float along = std::inner_product(query, query + dim_, products, 0.0f);
  const float square = std::inner_product(query, query + dim_, query, 0.0f);
  // As if as many more had been noted as there are dimensions, in all directions alike.
  const auto dim = static_cast<float>(dim_);
  const float squared = (along + square) * dim / (directions_noted_ + dim);
  constexpr float kWidest = 1e18f;
  return squared < kWidest * kWidest ? std::sqrt(std::max(squared, 0.0f)) : kWidest;
}

// All vectors [vectors, D] before there are lists.
std::vector<float> ListStore::ReadUnlisted() const {
  std::vector<float> vectors(static_cast<size_t>(vectors_ * dim_));
  const int64_t block_floats = int64_t{representatives_} * dim_;
  for (int64_t b = 0; b < size(); b += unlisted_.chunk_blocks()) {
    const int64_t blocks = std::min(unlisted_.chunk_blocks(), size() - b);
    ConvertToFloat(unlisted_.type(), unlisted_.chunk(b / unlisted_.chunk_blocks()),
                   vectors.data() + b * block_floats, static_cast<size_t>(blocks * block_floats));
  }
  return vectors;
}

uint16_t ListStore::Encode(const float* vector, uint8_t* codes) const {
  // The next bf16 above, so that no code passes 127.
  const float exact = LeastScale(vector, steps());
  auto scale = static_cast<uint16_t>(std::bit_cast<uint32_t>(exact) >> 16);
  if (Widen(scale) < exact) ++scale;
  EncodeNumbers(vector, Widen(scale), steps(), codes);
  std::fill(codes + dim_, codes + padded_dim(), uint8_t{128});
  return scale;
}

void ListStore::Write(VectorList* list, int64_t place, const uint8_t* codes) const {
  const int64_t padded = padded_dim();
  uint8_t* bytes = Bytes(list) + CodeOffset(place, 0, padded);
  for (int64_t d = 0; d < padded; d += kCodesAtOnce, bytes += kTileVectors * kCodesAtOnce) {
    std::copy_n(codes + d, kCodesAtOnce, bytes);
  }
}

void ListStore::Put(VectorList* list, const uint8_t* codes, uint16_t scale, uint32_t number) const {
  const int64_t place = list->count();
  const int64_t padded = padded_dim();
  if (place % kTileVectors == 0) {
    const size_t lines = list->codes.size() + static_cast<size_t>(TileBytes(padded)) / 64;
    if (place < kShortList) {
      // Tile by tile: there are many lists, and few grow long. Those that do, as of equal vectors,
      // grow by what they have.
      list->codes.reserve(lines);
      list->scales.reserve(VectorList::PaddedScales(place + 1));
      list->numbers.reserve(static_cast<size_t>(place + kTileVectors));
    }
    list->codes.resize(lines);
    list->scales.resize(VectorList::PaddedScales(place + 1));
  }
  Write(list, place, codes);
  if (place > 0 && list->equal) {
    list->equal = scale == list->scales.front();
    for (int64_t d = 0; d < padded && list->equal; ++d) {
      list->equal = codes[d] == list->tiles()[CodeOffset(0, d, padded)];
    }
  }
  list->scales[static_cast<size_t>(place)] = scale;
  list->numbers.push_back(number);
  if (place == 0) list->first = number;
  list->last = number;
}

int64_t ListStore::NearestList(const float* vector) {
  const auto count = static_cast<int64_t>(lists_.size());
  const int64_t tiles = (count + kTileVectors - 1) / kTileVectors;
  const int64_t padded = padded_dim();
  query_.resize(static_cast<size_t>(2 * padded));
  sums_.resize(static_cast<size_t>(2 * tiles));
  scores_.resize(static_cast<size_t>(tiles * kTileVectors));
  int8_t* high = query_.data();
  int8_t* low = high + padded;
  const float unit = SplitQuery(vector, step_.data(), dim_, padded, high, low);
  TileDots({.tiles = centres_.tiles(),
            .count = tiles,
            .padded_dim = padded,
            .queries = high,
            .rows = 2,
            .sums = sums_.data()->sums,
            .stride = tiles * kTileVectors});
  // The product with centre_ is the same for all lists.
  JoinScaledSums(sums_.data()->sums, 128 * std::accumulate(high, low, 0),
                 sums_[static_cast<size_t>(tiles)].sums,
                 128 * std::accumulate(low, low + padded, 0), count, unit, 0.0f,
                 centres_.scales.data(), scores_.data());
  return NearestOf(squares_.data(), scores_.data(), count);
}

void ListStore::AppendVector(const float* vector, uint32_t number) {
  if (number >= kept_.vectors) RememberLists();
  const int64_t nearest = NearestList(vector);
  Remember(nearest);
  VectorList& list = lists_[static_cast<size_t>(nearest)];
  const uint16_t scale = Encode(vector, codes_.data());
  Put(&list, codes_.data(), scale, number);
  std::vector<float> centre(static_cast<size_t>(dim_));
  Read(centres_, nearest, centre.data());
  const double squared_distance = SquaredDistance(vector, centre.data(), dim_);
  list.squares += squared_distance;
  if (number % kNotedEvery == 0) NoteDirection(vector, centre.data(), squared_distance);
  SetSpread(nearest);
  Part(nearest);
}

int64_t ListStore::LongestList() const {
  const auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(vectors_)));
  return std::max(kShortList, root / 4);
}

void ListStore::Part(int64_t index) {
  std::vector<int64_t> open = {index};
  while (!open.empty()) {
    const int64_t now = open.back();
    open.pop_back();
    VectorList list = lists_[static_cast<size_t>(now)].count() > LongestList() &&
                              !lists_[static_cast<size_t>(now)].equal
                          ? std::move(lists_[static_cast<size_t>(now)])
                          : VectorList();
    if (list.count() == 0) continue;
    std::vector<float> vectors(static_cast<size_t>(list.count() * dim_));
    for (int64_t v = 0; v < list.count(); ++v) Read(list, v, vectors.data() + v * dim_);
    const Parting parting = TwoMeans(vectors, dim_);
    const auto other = static_cast<int64_t>(lists_.size());
    lists_[static_cast<size_t>(now)] = VectorList();
    lists_.emplace_back();
    std::vector<uint8_t> codes(static_cast<size_t>(padded_dim()));
    for (int64_t v = 0; v < list.count(); ++v) {
      const auto at = static_cast<size_t>(v);
      CopyCodes(list, v, codes.data());
      Put(&lists_[static_cast<size_t>(parting.side[at] != 0 ? other : now)], codes.data(),
          list.scales[at], list.numbers[at]);
    }
    RememberParted(now, std::move(list));
    SetCentre(now, parting.means[0]);
    SetCentre(other, parting.means[1]);
    open.push_back(other);
    open.push_back(now);
  }
}

void ListStore::SetCentre(int64_t index, const std::vector<float>& centre) {
  const auto at = static_cast<size_t>(index);
  const uint16_t scale = Encode(centre.data(), codes_.data());
  if (index == centres_.count()) {
    Put(&centres_, codes_.data(), scale, static_cast<uint32_t>(index));
    squares_.push_back(0);
    spreads_.push_back(0);
    logs_.push_back(0);
    extremes_.push_back(0);
  } else {
    Write(&centres_, index, codes_.data());
    centres_.scales[at] = scale;
  }
  const std::vector<float> zero(centre.size());
  squares_[at] = Clamped(SquaredDistance(centre.data(), zero.data(), dim_));
  Measure(index);
}

void ListStore::Measure(int64_t index) {
  VectorList& list = lists_[static_cast<size_t>(index)];
  std::vector<float> centre(static_cast<size_t>(dim_));
  std::vector<float> vector(centre.size());
  Read(centres_, index, centre.data());
  list.squares = 0;
  for (int64_t v = 0; v < list.count(); ++v) {
    Read(list, v, vector.data());
    list.squares += SquaredDistance(vector.data(), centre.data(), dim_);
  }
  SetSpread(index);
}

void ListStore::SetSpread(int64_t index) {
  const VectorList& list = lists_[static_cast<size_t>(index)];
  const double elements = static_cast<double>(list.count()) * dim_;
  spreads_[static_cast<size_t>(index)] =
      elements == 0 ? 0.0f : Clamped(std::sqrt(list.squares / elements));
  logs_[static_cast<size_t>(index)] = std::log(static_cast<float>(list.count()));
  extremes_[static_cast<size_t>(index)] = Extreme(list.count());
}

void ListStore::CopyCodes(const VectorList& list, int64_t place, uint8_t* codes) const {
  const int64_t padded = padded_dim();
  const uint8_t* bytes = list.tiles() + CodeOffset(place, 0, padded);
  for (int64_t d = 0; d < padded; d += kCodesAtOnce, bytes += kTileVectors * kCodesAtOnce) {
    std::copy_n(bytes, kCodesAtOnce, codes + d);
  }
}

void ListStore::Read(const VectorList& list, int64_t place, float* vector) const {
  uint8_t codes[kMaxDim];
  CopyCodes(list, place, codes);
  DecodeNumbers(codes, Widen(list.scales[static_cast<size_t>(place)]), steps(), vector);
}

uint64_t ListStore::memory_bytes() const {
  uint64_t bytes = (centre_.capacity() + directions_.capacity() + wide_step_.capacity() +
                    inverse_step_.capacity() + squares_.capacity() + spreads_.capacity() +
                    logs_.capacity() + extremes_.capacity()) *
                       sizeof(float) +
                   step_.capacity() * sizeof(uint16_t) + lists_.capacity() * sizeof(VectorList) +
                   MemoryOf(centres_) + unlisted_.memory_bytes();
  for (const VectorList& list : lists_) bytes += MemoryOf(list);
  bytes += kept_.directions.capacity() * sizeof(float);
  if (kept_.unlisted.has_value()) bytes += kept_.unlisted->memory_bytes();
  for (const auto& [number, was] : kept_.was) {
    bytes += sizeof(number) + sizeof(was) + was.centre.capacity();
    if (was.parted.has_value()) bytes += MemoryOf(*was.parted);
  }
  return bytes;
}

}  // namespace cairn
