#include "storage/block_id.h"

#include <fmt/core.h>

namespace cairn {

std::string ToString(const BlockId& id) {
  return fmt::format("extent {} block {} layer {} head {}", id.extent, id.ordinal, id.layer,
                     id.head);
}

}  // namespace cairn
