// Hashing: XXH3 of bytes, for checksums, fingerprints and digests. Not for keeping secrets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace cairn {

/// XXH3-64 of `bytes` bytes at `data`.
uint64_t Hash64(const void* data, size_t bytes, uint64_t seed = 0);

/// A running XXH3-128. Update in any pieces; Hex() is the digest of all so far. Move-only.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(const void* data, size_t bytes);
  void Update(std::string_view text) { Update(text.data(), text.size()); }
  /// 32 lower-case hexadecimal digits, most significant first.
  std::string Hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
