#include "model/architecture.h"

#include <algorithm>
#include <array>
#include <charconv>
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

constexpr std::string_view kLayer = "blk.";

bool Contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::string Architecture::Key(std::string_view suffix) const {
  return fmt::format("{}.{}", name, suffix);
}

bool Architecture::HasTensor(std::string_view tensor, int32_t layers) const {
  if (Contains(kModelTensors, tensor)) return true;
  if (!tensor.starts_with(kLayer)) return false;
  const std::string_view rest = tensor.substr(kLayer.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view number = rest.substr(0, dot), part = rest.substr(dot + 1);
  int32_t layer = -1;
  std::from_chars(number.data(), number.data() + number.size(), layer);
  if (layer < 0 || layer >= layers || number != std::to_string(layer)) return false;
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
