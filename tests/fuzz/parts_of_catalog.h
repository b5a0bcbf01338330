// The kinds of parts in an input of catalog_target.cc; any other kind is an entry whose key is the
// first `place` bytes of its body.
#pragma once

#include <cstdint>

namespace cairn::test {

enum class CatalogPart : uint8_t {
  kFormat,
  kNext,
  kSession,   ///< place: which of four names
  kTokens,    ///< place: session + 4 * first token
  kTail,      ///< place: session
  kSection,   ///< place: extent + 4 * layer + 8 * first block
  kUnsealed,  ///< a session's entry whose trailer the input brings
};

}  // namespace cairn::test
