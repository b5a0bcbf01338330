// How a ListStore comes back to what it held before.
#include <algorithm>

#include "base/check.h"
#include "index/list_store.h"

namespace cairn {

void ListStore::Keep() {
  kept_ = {};
  kept_.vectors = vectors_;
}

std::vector<float> ListStore::TakeUnlisted() {
  std::vector<float> vectors = ReadUnlisted();
  if (kept_.vectors > 0 && kept_.vectors < listed_from_) {
    unlisted_.Truncate(kept_.vectors / representatives_);
    kept_.unlisted = std::move(unlisted_);
    unlisted_ = RepresentativeStore(kept_.unlisted->type(), dim_, representatives_);
  }
  unlisted_.Truncate(0);
  return vectors;
}

void ListStore::RememberLists() {
  if (kept_.changed || kept_.unlisted.has_value() || kept_.vectors == 0) return;
  kept_.changed = true;
  kept_.lists = lists_.size();
  kept_.directions = directions_;
  kept_.directions_noted = directions_noted_;
}

void ListStore::Remember(int64_t list) {
  const auto at = static_cast<size_t>(list);
  if (!kept_.changed || at >= kept_.lists || kept_.was.contains(list)) return;
  const VectorList& now = lists_[at];
  kept_.was.emplace(list, KeptList{.count = now.count(),
                                   .first = now.first,
                                   .last = now.last,
                                   .squares = now.squares,
                                   .equal = now.equal,
                                   .centre_squares = squares_[at],
                                   .spread = spreads_[at],
                                   .log = logs_[at],
                                   .extreme = extremes_[at],
                                   .parted = {},
                                   .centre = {},
                                   .centre_scale = 0});
}

void ListStore::RememberParted(int64_t list, VectorList vectors) {
  const auto found = kept_.was.find(list);
  if (found == kept_.was.end() || found->second.parted.has_value()) return;
  KeptList& was = found->second;
  was.parted = std::move(vectors);
  was.centre.resize(static_cast<size_t>(padded_dim()));
  CopyCodes(centres_, list, was.centre.data());
  was.centre_scale = centres_.scales[static_cast<size_t>(list)];
}

void ListStore::CutList(VectorList* list, int64_t left) const {
  list->numbers.resize(static_cast<size_t>(left));
  list->scales.resize(VectorList::PaddedScales(left));
  list->codes.resize(
      static_cast<size_t>((left + kTileVectors - 1) / kTileVectors * TileBytes(padded_dim())) /
      sizeof(VectorList::Line));
}

void ListStore::Restore() {
  Kept kept = std::move(kept_);
  if (kept.unlisted.has_value()) {
    DropLists();
    unlisted_ = std::move(*kept.unlisted);
  } else {
    lists_.resize(kept.lists);
    CutList(&centres_, static_cast<int64_t>(kept.lists));
    for (auto* numbers : {&squares_, &spreads_, &logs_, &extremes_}) numbers->resize(kept.lists);
    for (auto& [number, was] : kept.was) RestoreList(number, &was);
    directions_ = std::move(kept.directions);
    directions_noted_ = kept.directions_noted;
  }
  vectors_ = kept.vectors;
  Keep();
}

void ListStore::RestoreList(int64_t number, KeptList* was) {
  const auto at = static_cast<size_t>(number);
  VectorList& list = lists_[at];
  if (was->parted.has_value()) {
    list = std::move(*was->parted);
    Write(&centres_, number, was->centre.data());
    centres_.scales[at] = was->centre_scale;
  }
  CutList(&list, was->count);
  list.first = was->first;
  list.last = was->last;
  list.squares = was->squares;
  list.equal = was->equal;
  squares_[at] = was->centre_squares;
  spreads_[at] = was->spread;
  logs_[at] = was->log;
  extremes_[at] = was->extreme;
}

void ListStore::DropLists() {
  *this = ListStore(unlisted_.type(), dim_, representatives_, listed_from_);
}

void ListStore::CutLists(int64_t left) {
  for (size_t j = 0; j < lists_.size(); ++j) {
    VectorList& list = lists_[j];
    const auto end = std::lower_bound(list.numbers.begin(), list.numbers.end(), left);
    if (end == list.numbers.end()) continue;
    Remember(static_cast<int64_t>(j));
    CutList(&list, end - list.numbers.begin());
    if (list.count() > 0) list.last = list.numbers.back();
    Measure(static_cast<int64_t>(j));
  }
}

void ListStore::Truncate(int64_t size) {
  CAIRN_CHECK(size >= 0);
  if (size >= this->size()) return;
  const int64_t left = size * representatives_;
  if (left <= kept_.vectors && (kept_.changed || kept_.unlisted.has_value())) Restore();
  if (left < vectors_) {
    if (listed() && left > 0) {
      CutLists(left);
    } else {
      if (listed()) DropLists();
      unlisted_.Truncate(size);
      waits_ = waits_ && left >= listed_from_;
    }
    vectors_ = left;
  }
  if (left < kept_.vectors) Keep();
}

}  // namespace cairn
