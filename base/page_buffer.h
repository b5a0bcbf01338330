// PageBuffer: a large piece of memory for weights, of zeros, at a page's start and in huge pages if
// the system has them: reading it in one go should not wait for the table of pages.
#pragma once

#include <cstddef>

namespace cairn {

/// Owns its memory, which does not move.
class PageBuffer {
 public:
  /// Throws std::bad_alloc if there is no memory, as std::vector does. `bytes` may be 0.
  explicit PageBuffer(size_t bytes);
  ~PageBuffer();
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_;
};

}  // namespace cairn
