// WordCache: where in the output of one call the ids of words already are.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/parallel.h"

namespace cairn {

/// One entry per hash: a new word replaces the old, so memory is fixed. The texts of the words must
/// outlive it.
class WordCache {
 public:
  /// Room to suit a text of that size, at most 16,384 words.
  explicit WordCache(size_t text_bytes)
      : entries_(std::bit_ceil(std::clamp<size_t>(text_bytes / 16, 1, 16384))) {}

  /// Appends the ids of `word` to `ids`: a copy if they are there already, else what `encode`
  /// appends. REQUIRES: the same `ids` in every call, and nobody shortens it.
  void Append(std::string_view word, std::vector<uint32_t>& ids,
              FunctionRef<void(std::string_view)> encode) {
    if (word.size() > kMaxBytes) return encode(word);
    Entry& entry = entries_[Hash64(word.data(), word.size()) & (entries_.size() - 1)];
    if (entry.bytes == word.size() && std::memcmp(entry.text, word.data(), word.size()) == 0) {
      const size_t end = ids.size();
      ids.resize(end + entry.count);
      std::copy_n(ids.begin() + static_cast<ptrdiff_t>(entry.first), entry.count,
                  ids.begin() + static_cast<ptrdiff_t>(end));
      return;
    }
    const size_t first = ids.size();
    encode(word);
    entry = {word.data(), static_cast<uint32_t>(word.size()),
             static_cast<uint32_t>(ids.size() - first), first};
  }

 private:
  static constexpr size_t kMaxBytes = 64;

  struct Entry {
    const char* text = nullptr;
    uint32_t bytes = 0;
    uint32_t count = 0;
    size_t first = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace cairn
