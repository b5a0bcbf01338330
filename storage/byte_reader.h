// Little-endian values in strings of bytes: appended to one, taken off the front of one.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace cairn {

template <class T>
void AppendBytes(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Takes values off the front of a body; remembers if it was too short.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T Take() {
    T value{};
    const std::string_view taken = TakeBytes(sizeof value);
    if (taken.size() == sizeof value) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  std::string_view TakeBytes(size_t count) {
    if (count > bytes_.size()) {
      short_ = true;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  size_t left() const { return bytes_.size(); }
  /// Everything was there and nothing is left.
  bool Done() const { return !short_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool short_ = false;
};

}  // namespace cairn
