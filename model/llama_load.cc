// Reading a model's GGUF file: hyperparameters, checks by name, weights.
#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "base/matmul.h"
#include "model/architecture.h"
#include "model/llama.h"

namespace cairn {
namespace {

constexpr const char* kTokenEmbedding = "token_embd.weight";
constexpr uint64_t kMostLayers = 1000;

// A tensor this forward pass would ignore would silently make it another model.
Status CheckTensorNames(const GgufFile& file, const Architecture& architecture, int32_t layers) {
  for (const GgufTensor& tensor : file.tensors()) {
    if (architecture.HasTensor(tensor.name, layers)) continue;
    return Fail(Errc::kUnsupported,
                "{}: tensor '{}' is not part of the {} architecture of {} layers as cairn runs it",
                file.path(), tensor.name, architecture.name, layers);
  }
  return Ok();
}

bool AllFinite(std::span<const float> numbers) {
  constexpr int32_t kSign = INT32_MAX, kInfinity = 0x7f800000;
  int32_t largest = 0;
  for (const float number : numbers) {
    largest = std::max(largest, std::bit_cast<int32_t>(number) & kSign);
  }
  return largest < kInfinity;
}

// Whether other angles are meant than the base's. Where no kind is named a factor means linear
// ones.
Status CheckScaling(const GgufFile& file, const Architecture& architecture) {
  CAIRN_TRY(auto scaling, file.StringOr(architecture.Key("rope.scaling.type"), ""));
  if (scaling.empty()) {
    scaling = "none";
    for (const char* key : {"rope.scaling.factor", "rope.scale_linear"}) {
      CAIRN_TRY(const double factor, file.FloatOr(architecture.Key(key), 1.0));
      if (factor != 0.0 && factor != 1.0) scaling = "linear";
    }
  }
  if (scaling == "none") return Ok();
  return Fail(Errc::kUnsupported, "{}: RoPE scaling '{}' is not supported (only rope_freqs is)",
              file.path(), scaling);
}

Result<int32_t> ReadCount(const GgufFile& file, std::string_view key, uint64_t highest) {
  CAIRN_TRY(const uint64_t value, file.Uint(key));
  if (value == 0 || value > highest) {
    return Fail(Errc::kCorruption, "{}: {} is {}, outside 1 to {}", file.path(), key, value,
                highest);
  }
  return static_cast<int32_t>(value);
}

}  // namespace

Status Llama::CheckSupported(const GgufFile& file) {
  CAIRN_TRY(auto type, file.StringOr("general.type", "model"));
  if (type != "model") {
    return Fail(Errc::kInvalidArgument, "{} is a GGUF {}, not a model{}", file.path(), type,
                type == "adapter" ? "; give it as --adapter" : "");
  }
  CAIRN_TRY(const Architecture* architecture, Architecture::Of(file));
  CAIRN_TRY(CheckScaling(file, *architecture));
  CAIRN_TRY(const int32_t layers, ReadCount(file, architecture->Key("block_count"), kMostLayers));
  return CheckTensorNames(file, *architecture, layers);
}

namespace {

Status ReadRope(const GgufFile& file, const Architecture& architecture, LlamaConfig* config) {
  CAIRN_TRY(auto rotary, file.UintOr(architecture.Key("rope.dimension_count"),
                                     static_cast<uint64_t>(config->head_dim)));
  if (rotary != static_cast<uint64_t>(config->head_dim)) {
    return Fail(Errc::kUnsupported, "{}: rotary dimension {} of head dimension {} is not supported",
                file.path(), rotary, config->head_dim);
  }
  CAIRN_TRY(auto base, file.FloatOr(architecture.Key("rope.freq_base"), 10000.0));
  config->inverse_frequencies = RopeTable::InverseFrequencies(base, config->head_dim);
  if (file.Find("rope_freqs.weight") == nullptr) return Ok();
  CAIRN_TRY(auto factors, file.ReadFloats("rope_freqs.weight"));
  if (factors.size() != config->inverse_frequencies.size()) {
    return Fail(Errc::kCorruption, "{}: rope_freqs has {} factors, not {}", file.path(),
                factors.size(), config->inverse_frequencies.size());
  }
  for (size_t i = 0; i < factors.size(); ++i) config->inverse_frequencies[i] /= factors[i];
  return Ok();
}

Result<LlamaConfig> ReadConfig(const GgufFile& file) {
  CAIRN_TRY(const Architecture* architecture, Architecture::Of(file));
  const auto key = [&](std::string_view suffix) { return architecture->Key(suffix); };
  LlamaConfig config;
  config.rope_style = architecture->rope_style;
  config.has_bias = architecture->has_bias;
  config.has_head_norms = architecture->has_head_norms;
  CAIRN_TRY(config.layers, ReadCount(file, key("block_count"), kMostLayers));
  CAIRN_TRY(config.hidden, ReadCount(file, key("embedding_length"), 1 << 20));
  CAIRN_TRY(config.ffn, ReadCount(file, key("feed_forward_length"), 1 << 22));
  CAIRN_TRY(config.query_heads, ReadCount(file, key("attention.head_count"), 4096));
  config.kv_heads = config.query_heads;
  if (file.Has(key("attention.head_count_kv"))) {
    CAIRN_TRY(config.kv_heads, ReadCount(file, key("attention.head_count_kv"), 4096));
  }
  config.head_dim = config.hidden / config.query_heads;
  if (file.Has(key("attention.key_length"))) {
    CAIRN_TRY(config.head_dim, ReadCount(file, key("attention.key_length"), 4096));
  }
  CAIRN_TRY(auto value_dim,
            file.UintOr(key("attention.value_length"), static_cast<uint64_t>(config.head_dim)));
  if (value_dim != static_cast<uint64_t>(config.head_dim) || config.head_dim < 2 ||
      config.head_dim % 2 != 0) {
    return Fail(Errc::kUnsupported, "{}: key dimension {} with value dimension {}", file.path(),
                config.head_dim, value_dim);
  }
  if (config.query_heads % config.kv_heads != 0) {
    return Fail(Errc::kCorruption, "{}: {} query heads do not divide among {} KV heads",
                file.path(), config.query_heads, config.kv_heads);
  }
  CAIRN_TRY(config.context, ReadCount(file, key("context_length"), 1 << 28));
  // Layers that attend to a window only were trained on no distance beyond it.
  CAIRN_TRY(const uint64_t window, file.UintOr(key("attention.sliding_window"), 0));
  if (window > 0 && window < static_cast<uint64_t>(config.context)) {
    config.context = static_cast<int32_t>(window);
  }
  CAIRN_TRY(auto epsilon, file.FloatOr(key("attention.layer_norm_rms_epsilon"), 1e-5));
  config.rms_epsilon = static_cast<float>(epsilon);
  CAIRN_TRY(ReadRope(file, *architecture, &config));
  return config;
}

}  // namespace

// Reads weights, adds the adapters' parts and packs them.
struct Llama::Loader {
  const GgufFile& file;
  const AdapterSet& adapters;
  LinearKind kind;
  DeviceLlama* device;  // where products go, or null

  /// Appends the [n, k] weight `name` to `out`.
  Status Append(const std::string& name, int64_t n, int64_t k, std::vector<float>* out) const {
    const GgufTensor* tensor = file.Find(name);
    if (tensor == nullptr) {
      return Fail(Errc::kCorruption, "{}: tensor '{}' is missing", file.path(), name);
    }
    if (tensor->RowLength() != static_cast<uint64_t>(k) ||
        tensor->Rows() != static_cast<uint64_t>(n)) {
      return Fail(Errc::kCorruption, "{}: tensor '{}' is {} x {}, not {} x {}", file.path(), name,
                  tensor->Rows(), tensor->RowLength(), n, k);
    }
    CAIRN_TRY(auto weights, file.ReadFloats(name));
    CAIRN_TRY(adapters.AddTo(name, weights.data(), n, k));
    if (!AllFinite(weights)) {
      return Fail(Errc::kCorruption,
                  "{}: tensor '{}' has numbers that are infinite or none; get the file again",
                  file.path(), name);
    }
    out->insert(out->end(), weights.begin(), weights.end());
    return Ok();
  }

  std::unique_ptr<Linear> Pack(const std::vector<float>& weights, int64_t n, int64_t k) const {
    if (kind == LinearKind::kReference) return MakeReferenceLinear(weights.data(), n, k);
    const DType type = kind == LinearKind::kF32 ? DType::kF32 : FastMatmulType();
    return MakeOneDnnLinear(type, weights.data(), n, k);
  }

  Result<Product> Read(std::initializer_list<std::pair<std::string, int64_t>> parts,
                       int64_t k) const {
    std::vector<float> weights;
    Product product;
    int64_t n = 0;
    for (const auto& [name, rows] : parts) {
      CAIRN_TRY(Append(name, rows, k, &weights));
      product.tensors.push_back(file.Find(name));
      n += rows;
    }
    if (device != nullptr) {
      CAIRN_TRY(product.on_device, device->Upload(weights, n, k));
    } else {
      product.packed = Pack(weights, n, k);
    }
    return product;
  }

  Status MoveToDevice(Layer& layer) const;

  Result<Layer> ReadLayer(const LlamaConfig& c, int32_t index) const {
    const std::string prefix = fmt::format("blk.{}.", index);
    const int64_t q = static_cast<int64_t>(c.query_heads) * c.head_dim;
    const int64_t kv = static_cast<int64_t>(c.kv_heads) * c.head_dim;
    Layer layer;
    CAIRN_TRY(Append(prefix + "attn_norm.weight", 1, c.hidden, &layer.attention_norm));
    CAIRN_TRY(Append(prefix + "ffn_norm.weight", 1, c.hidden, &layer.ffn_norm));
    if (c.has_bias) {
      CAIRN_TRY(Append(prefix + "attn_q.bias", 1, q, &layer.bias));
      CAIRN_TRY(Append(prefix + "attn_k.bias", 1, kv, &layer.bias));
      CAIRN_TRY(Append(prefix + "attn_v.bias", 1, kv, &layer.bias));
    }
    if (c.has_head_norms) {
      CAIRN_TRY(Append(prefix + "attn_q_norm.weight", 1, c.head_dim, &layer.query_norm));
      CAIRN_TRY(Append(prefix + "attn_k_norm.weight", 1, c.head_dim, &layer.key_norm));
    }
    CAIRN_TRY(layer.qkv, Read({{prefix + "attn_q.weight", q},
                               {prefix + "attn_k.weight", kv},
                               {prefix + "attn_v.weight", kv}},
                              c.hidden));
    CAIRN_TRY(layer.output, Read({{prefix + "attn_output.weight", c.hidden}}, q));
    CAIRN_TRY(
        layer.gate_up,
        Read({{prefix + "ffn_gate.weight", c.ffn}, {prefix + "ffn_up.weight", c.ffn}}, c.hidden));
    CAIRN_TRY(layer.down, Read({{prefix + "ffn_down.weight", c.hidden}}, c.ffn));
    return layer;
  }
};

Status Llama::Loader::MoveToDevice(Layer& layer) const {
  DeviceLlama::Layer moved;
  CAIRN_TRY(moved.attention_norm, device->UploadVector(layer.attention_norm));
  CAIRN_TRY(moved.ffn_norm, device->UploadVector(layer.ffn_norm));
  CAIRN_TRY(moved.bias, device->UploadVector(layer.bias));
  CAIRN_TRY(moved.query_norm, device->UploadVector(layer.query_norm));
  CAIRN_TRY(moved.key_norm, device->UploadVector(layer.key_norm));
  moved.qkv = std::move(layer.qkv.on_device);
  moved.output = std::move(layer.output.on_device);
  moved.gate_up = std::move(layer.gate_up.on_device);
  moved.down = std::move(layer.down.on_device);
  device->Add(std::move(moved));
  return Ok();
}

Result<std::unique_ptr<Llama>> Llama::Load(const GgufFile& file, const AdapterSet& adapters,
                                           LinearKind kind, std::optional<int32_t> device) {
  CAIRN_TRY(CheckSupported(file));
  std::unique_ptr<Llama> model(new Llama(file, kind));
  CAIRN_TRY(model->config_, ReadConfig(file));
  LlamaConfig& config = model->config_;
  CAIRN_TRY(adapters.CheckTargets(file));

  model->embedding_ = file.Find(kTokenEmbedding);
  if (model->embedding_ == nullptr ||
      model->embedding_->RowLength() != static_cast<uint64_t>(config.hidden)) {
    return Fail(Errc::kCorruption, "{}: tensor '{}' is missing or not {} wide", file.path(),
                kTokenEmbedding, config.hidden);
  }
  if (!CanDequantize(model->embedding_->type)) {
    return Fail(Errc::kUnsupported, "{}: tensor '{}' has type {}, not supported", file.path(),
                kTokenEmbedding, GgmlTypeName(model->embedding_->type));
  }
  config.vocab = static_cast<int32_t>(model->embedding_->Rows());
  if (device.has_value()) {
    const DType type = kind == LinearKind::kFast ? DType::kBF16 : DType::kF32;
    CAIRN_TRY(model->on_device_, DeviceLlama::Open(*device, config, type));
  }
  const Loader loader{file, adapters, kind, model->on_device_.get()};
  if (adapters.Has(kTokenEmbedding)) {
    CAIRN_TRY(
        loader.Append(kTokenEmbedding, config.vocab, config.hidden, &model->merged_embedding_));
  }
  CAIRN_TRY(loader.Append("output_norm.weight", 1, config.hidden, &model->output_norm_));
  const bool tied = file.Find("output.weight") == nullptr;
  CAIRN_TRY(model->output_,
            loader.Read({{tied ? kTokenEmbedding : "output.weight", config.vocab}}, config.hidden));
  for (int32_t i = 0; i < config.layers; ++i) {
    CAIRN_TRY(auto layer, loader.ReadLayer(config, i));
    if (model->on_device_ != nullptr) {
      CAIRN_TRY(loader.MoveToDevice(layer));
    } else {
      model->layers_.push_back(std::move(layer));
    }
  }
  if (model->on_device_ != nullptr) {
    CAIRN_TRY(auto norm, model->on_device_->UploadVector(model->output_norm_));
    model->on_device_->SetOutput(std::move(norm), std::move(model->output_.on_device));
  }
  if (const LandmarkInfo* landmark = adapters.landmark()) {
    model->landmark_embedding_ = landmark->embedding;
  }
  return model;
}

Status Llama::PackForDecode(const AdapterSet& adapters) {
  if (kind_ != LinearKind::kFast || on_device_ != nullptr || quantised_.has_value()) return Ok();
  std::vector<Product*> products{&output_};
  for (Layer& layer : layers_) {
    for (Product* product : {&layer.qkv, &layer.output, &layer.gate_up, &layer.down}) {
      products.push_back(product);
    }
  }
  std::vector<std::vector<QuantSource>> sources;
  size_t bytes = 0;
  for (const Product* product : products) {
    sources.emplace_back();
    for (const GgufTensor* tensor : product->tensors) {
      CAIRN_TRY(auto factors, adapters.Factors(tensor->name, static_cast<int64_t>(tensor->Rows()),
                                               static_cast<int64_t>(tensor->RowLength())));
      sources.back().push_back({tensor, std::move(factors)});
    }
    bytes += QuantLinearBytes(sources.back());
  }
  quantised_.emplace(bytes);
  std::byte* memory = quantised_->data();
  for (size_t i = 0; i < products.size(); ++i) {
    const size_t need = QuantLinearBytes(sources[i]);
    if (need > 0) products[i]->quantised = MakeQuantLinear(sources[i], memory);
    memory += need;
  }
  return Ok();
}

}  // namespace cairn
