#include "model/architecture.h"

#include <algorithm>
#include <array>
#include <span>

#include "model/gguf_parser.h"

namespace cairn {
namespace {

constexpr std::array<Architecture, 3> kKnown{{
    {"llama", RopeStyle::kInterleaved, false, false},
    {"qwen2", RopeStyle::kHalfSplit, true, false},
    {"qwen3", RopeStyle::kHalfSplit, false, true},
}};

constexpr std::array<std::string_view, 4> kModelTensors{"token_embd.weight", "output_norm.weight",
                                                        "output.weight", "rope_freqs.weight"};
constexpr std::array<std::string_view, 9> kLayerTensors{
    "attn_norm.weight", "attn_q.weight",   "attn_k.weight", "attn_v.weight",  "attn_output.weight",
    "ffn_norm.weight",  "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"};
constexpr std::array<std::string_view, 3> kBiases{"attn_q.bias", "attn_k.bias", "attn_v.bias"};
constexpr std::array<std::string_view, 2> kHeadNorms{"attn_q_norm.weight", "attn_k_norm.weight"};

bool Contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::string Architecture::Key(std::string_view suffix) const {
  return fmt::format("{}.{}", name, suffix);
}

bool Architecture::HasTensor(std::string_view tensor) const {
  if (Contains(kModelTensors, tensor)) return true;
  if (!tensor.starts_with("blk.")) return false;
  const size_t dot = tensor.find('.', 4);
  if (dot == std::string_view::npos) return false;
  const std::string_view part = tensor.substr(dot + 1);
  return Contains(kLayerTensors, part) || (has_bias && Contains(kBiases, part)) ||
         (has_head_norms && Contains(kHeadNorms, part));
}

Result<const Architecture*> Architecture::Of(const GgufFile& file) {
  CAIRN_TRY(const std::string named, file.String("general.architecture"));
  std::string known;
  for (const Architecture& architecture : kKnown) {
    if (architecture.name == named) return &architecture;
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", architecture.name);
  }
  return Fail(Errc::kUnsupported, "{}: architecture '{}' is not supported; cairn runs {}",
              file.path(), Printable(named), known);
}

}  // namespace cairn
