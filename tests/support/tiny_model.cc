#include "tests/support/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/gguf_writer.h"
#include "tests/support/sentence_piece_vocabulary.h"

namespace cairn::test {
namespace {

constexpr std::string_view kMerges[] = {"t h", "th e", "i n", "e r",   "a n",
                                        "Ġ t", "Ġ a",  "o n", "Ġ the", "Ġ Ġ"};

constexpr std::string_view kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view kChatMlSystem =
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are tiny.<|im_end|>\\n' }}{% endif %}";

constexpr std::string_view kInst =
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}";

/// The same numbers on every machine: SplitMix64, and a bell shape from a sum of twelve.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  std::vector<float> Normal(uint64_t count, float deviation) {
    std::vector<float> values(count);
    for (float& value : values) {
      double sum = -6.0;
      for (int i = 0; i < 12; ++i) sum += Uniform();
      value = static_cast<float>(sum) * deviation;
    }
    return values;
  }

 private:
  double Uniform() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
  }
  uint64_t state_;
};

/// GPT-2's printable stand-in for a byte, as UTF-8.
std::string ByteToken(int byte) {
  int next = 256;
  int character = 0;
  for (int b = 0; b <= byte; ++b) {
    const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
    character = itself ? b : next++;
  }
  if (character < 0x80) return {static_cast<char>(character)};
  return {static_cast<char>(0xc0 | (character >> 6)), static_cast<char>(0x80 | (character & 63))};
}

std::vector<std::string> ToyTokens() {
  std::vector<std::string> tokens{"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(ByteToken(byte));
  for (const std::string_view merge : kMerges) {
    const size_t space = merge.find(' ');
    tokens.push_back(std::string(merge.substr(0, space)) + std::string(merge.substr(space + 1)));
  }
  return tokens;
}

SentencePieceVocabulary ToyPieces() {
  std::vector<std::string> texts = {"▁t", "he", "▁a", "in", "▁the", "er", "an", "on", "▁in", "▁"};
  for (char c = 'a'; c <= 'z'; ++c) texts.emplace_back(1, c);
  return SentencePieceVocabulary::Of(texts);
}

void AddPieces(size_t rows, GgufWriter& writer) {
  SentencePieceVocabulary pieces = ToyPieces();
  while (pieces.pieces.size() < rows) {
    pieces.Add("<unused" + std::to_string(pieces.pieces.size()) + ">", 5, 0);
  }
  pieces.AddTo(writer);
}

void AddToyTokens(size_t rows, GgufWriter& writer) {
  std::vector<std::string> tokens = ToyTokens();
  std::vector<int32_t> types(tokens.size(), 1);
  std::fill(types.begin(), types.begin() + 3, 3);
  while (tokens.size() < rows) {
    tokens.push_back("<unused" + std::to_string(tokens.size()) + ">");
    types.push_back(5);
  }
  writer.AddString("tokenizer.ggml.model", "gpt2");
  writer.AddString("tokenizer.ggml.pre", "gpt-2");
  writer.AddStrings("tokenizer.ggml.tokens", tokens);
  writer.AddInt32s("tokenizer.ggml.token_type", types);
  writer.AddStrings("tokenizer.ggml.merges", {std::begin(kMerges), std::end(kMerges)});
  writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
  writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
  writer.AddBool("tokenizer.ggml.add_bos_token", false);
}

void AddTokenizer(const TinyModelOptions& options, size_t rows, GgufWriter& writer) {
  if (options.sentence_pieces) {
    AddPieces(rows, writer);
  } else {
    AddToyTokens(rows, writer);
  }
  if (options.chat_template == "inst") writer.AddString("tokenizer.chat_template", kInst);
  if (options.chat_template == "chatml") writer.AddString("tokenizer.chat_template", kChatMl);
  if (options.chat_template == "chatml-system") {
    writer.AddString("tokenizer.chat_template", std::string(kChatMlSystem) + std::string(kChatMl));
  }
}

struct Matrix {
  std::string name;
  uint64_t n_out;
  uint64_t n_in;
};

std::vector<Matrix> LayerMatrices(const TinyModelOptions& options, int layer) {
  const auto head_dim = static_cast<uint64_t>(options.head_dim);
  const uint64_t hidden = static_cast<uint64_t>(options.heads) * head_dim;
  const uint64_t kv = static_cast<uint64_t>(options.kv_heads) * head_dim;
  const auto ffn = static_cast<uint64_t>(options.ffn);
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  return {
      {prefix + "attn_q.weight", hidden, hidden}, {prefix + "attn_k.weight", kv, hidden},
      {prefix + "attn_v.weight", kv, hidden},     {prefix + "attn_output.weight", hidden, hidden},
      {prefix + "ffn_gate.weight", ffn, hidden},  {prefix + "ffn_up.weight", ffn, hidden},
      {prefix + "ffn_down.weight", hidden, ffn}};
}

uint64_t Rows(const TinyModelOptions& options) {
  const int tokens =
      options.sentence_pieces ? static_cast<int>(ToyPieces().pieces.size()) : TinyVocabulary();
  return static_cast<uint64_t>(std::max(options.vocab, tokens));
}

void AddHyperparameters(const TinyModelOptions& options, GgufWriter& writer) {
  const auto u32 = [](int value) { return static_cast<uint32_t>(value); };
  const auto key = [&](const char* suffix) { return options.architecture + "." + suffix; };
  writer.AddString("general.architecture", options.architecture);
  writer.AddString("general.type", "model");
  writer.AddString("general.name", "tiny");
  writer.AddUint32(key("block_count"), u32(options.layers));
  writer.AddUint32(key("context_length"), 8192);
  writer.AddUint32(key("embedding_length"), u32(options.heads * options.head_dim));
  writer.AddUint32(key("feed_forward_length"), u32(options.ffn));
  writer.AddUint32(key("attention.head_count"), u32(options.heads));
  writer.AddUint32(key("attention.head_count_kv"), u32(options.kv_heads));
  writer.AddFloat32(key("rope.freq_base"), options.rope_base);
  if (options.architecture == "llama") {  // others leave it to the width of a head
    writer.AddUint32(key("rope.dimension_count"), u32(options.head_dim));
  } else {
    writer.AddUint32(key("attention.key_length"), u32(options.head_dim));
    writer.AddUint32(key("attention.value_length"), u32(options.head_dim));
  }
  writer.AddFloat32(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  if (options.sliding_window > 0) {
    writer.AddUint32(key("attention.sliding_window"), u32(options.sliding_window));
  }
  writer.AddUint32(key("vocab_size"), static_cast<uint32_t>(Rows(options)));
}

}  // namespace

int TinyVocabulary() { return static_cast<int>(ToyTokens().size()); }

Status WriteTinyModel(const std::string& path, const TinyModelOptions& options) {
  GgufWriter writer;
  Random random(options.seed);
  const uint64_t hidden = static_cast<uint64_t>(options.heads * options.head_dim);
  const auto add_matrix = [&](const Matrix& matrix, float deviation) {
    writer.AddTensor(matrix.name, options.weight_type, {matrix.n_in, matrix.n_out},
                     random.Normal(matrix.n_in * matrix.n_out, deviation));
  };
  const auto add_norm = [&](const std::string& name, uint64_t width) {
    std::vector<float> values = random.Normal(width, 0.1f);
    for (float& value : values) value += 1.0f;
    writer.AddTensor(name, GgmlType::kF32, {width}, values);
  };
  const auto add_heads = [&](const std::string& prefix) {
    const auto head_dim = static_cast<uint64_t>(options.head_dim);
    if (options.architecture == "qwen3") {
      add_norm(prefix + "attn_q_norm.weight", head_dim);
      add_norm(prefix + "attn_k_norm.weight", head_dim);
    }
    if (options.architecture != "qwen2") return;
    for (const auto& [name, heads] :
         {std::pair{"q", options.heads}, std::pair{"k", options.kv_heads},
          std::pair{"v", options.kv_heads}}) {
      const uint64_t width = static_cast<uint64_t>(heads) * head_dim;
      writer.AddTensor(prefix + "attn_" + name + ".bias", GgmlType::kF32, {width},
                       random.Normal(width, 0.5f));
    }
  };
  AddHyperparameters(options, writer);
  AddTokenizer(options, Rows(options), writer);
  add_matrix({"token_embd.weight", Rows(options), hidden}, 1.0f);
  for (int layer = 0; layer < options.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    add_norm(prefix + "attn_norm.weight", hidden);
    add_norm(prefix + "ffn_norm.weight", hidden);
    add_heads(prefix);
    for (const Matrix& matrix : LayerMatrices(options, layer)) {
      // Outputs keep the size of inputs; queries and keys are larger, so that attention is sharp.
      const bool sharp =
          matrix.name.ends_with("attn_q.weight") || matrix.name.ends_with("attn_k.weight");
      add_matrix(matrix, (sharp ? 1.5f : 1.0f) / std::sqrt(static_cast<float>(matrix.n_in)));
    }
  }
  add_norm("output_norm.weight", hidden);
  if (!options.tied) {
    add_matrix({"output.weight", Rows(options), hidden},
               1.0f / std::sqrt(static_cast<float>(hidden)));
  }
  return writer.Write(path);
}

Status WriteTinyAdapter(const std::string& path, const TinyModelOptions& model,
                        const TinyAdapterOptions& options) {
  GgufWriter writer;
  Random random(options.seed);
  const auto rank = static_cast<uint64_t>(options.rank);
  writer.AddString("general.architecture", "llama");
  writer.AddString("general.type", "adapter");
  writer.AddString("adapter.type", "lora");
  writer.AddFloat32("adapter.lora.alpha", options.alpha);
  if (options.landmark) {
    writer.AddUint32("cairn.landmark.regular_tokens",
                     static_cast<uint32_t>(options.regular_tokens));
    writer.AddBool("cairn.landmark.in_loss", options.in_loss);
    writer.AddUint32("cairn.landmark.trained_context",
                     static_cast<uint32_t>(options.trained_context));
    writer.AddString("cairn.landmark.selection", options.selection);
    const uint64_t hidden = static_cast<uint64_t>(model.heads * model.head_dim);
    writer.AddTensor("cairn.landmark.embedding", GgmlType::kF32, {hidden},
                     random.Normal(hidden, 1.0f));
  }
  for (int layer = 0; layer < model.layers; ++layer) {
    for (const Matrix& matrix : LayerMatrices(model, layer)) {
      writer.AddTensor(matrix.name + ".lora_a", GgmlType::kF16, {matrix.n_in, rank},
                       random.Normal(matrix.n_in * rank, options.strength));
      writer.AddTensor(matrix.name + ".lora_b", GgmlType::kF16, {rank, matrix.n_out},
                       random.Normal(matrix.n_out * rank, options.strength));
    }
  }
  if (options.token_embedding) {  // transposed, as such files have it
    const uint64_t hidden = static_cast<uint64_t>(model.heads * model.head_dim);
    writer.AddTensor("token_embd.weight.lora_a", GgmlType::kF16, {rank, Rows(model)},
                     random.Normal(Rows(model) * rank, options.strength));
    writer.AddTensor("token_embd.weight.lora_b", GgmlType::kF16, {rank, hidden},
                     random.Normal(hidden * rank, options.strength));
  }
  return writer.Write(path);
}

}  // namespace cairn::test
