// Architecture: in what the models that Llama runs differ from each other. Layers are the same in
// all: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kernels/rope.h"
#include "model/gguf.h"

namespace cairn {

struct Architecture {
  std::string_view name;  ///< general.architecture, and the first part of its metadata keys
  RopeStyle rope_style;   ///< order of rows in q and k, as converters write them
  bool has_bias;          ///< attn_q.bias, attn_k.bias and attn_v.bias of each layer
  bool has_head_norms;    ///< attn_q_norm.weight and attn_k_norm.weight of each layer

  /// The metadata key `suffix` of this architecture, e.g. "llama.block_count".
  std::string Key(std::string_view suffix) const;
  /// Whether a model of it with so many layers has a tensor of that name.
  bool HasTensor(std::string_view tensor, int32_t layers) const;

  /// The one that the file names; kUnsupported with the name and the known ones otherwise. Lives as
  /// long as the program.
  static Result<const Architecture*> Of(const GgufFile& file);
};

}  // namespace cairn
