#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.h"
#include "base/parallel.h"
#include "kernels/block_shape.h"
#include "model/gguf_parser.h"

namespace cairn {
namespace {

constexpr std::string_view kSuffixA = ".lora_a";
constexpr std::string_view kSuffixB = ".lora_b";
constexpr std::string_view kEmbeddingName = "cairn.landmark.embedding";
/// This tensor's factors are stored the other way round: A [n_out, r] and B [n_in, r].
constexpr std::string_view kTokenEmbedding = "token_embd.weight";

#ifdef CAIRN_SANITIZED
#define CAIRN_CLONES  // resolvers of clones run before the sanitizers are ready
#else
#define CAIRN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

/// rows[begin, end) of weights[n_out, n_in] += out_factor[n_out, rank] * in_factor[rank, n_in].
/// Four ranks at a time, so that a row of weights is read and written rank / 4 times.
CAIRN_CLONES void AddRows(const float* out_factor, const float* in_factor, int64_t begin,
                          int64_t end, int64_t n_in, int64_t rank, float* weights) {
  for (int64_t row = begin; row < end; ++row) {
    const float* b = out_factor + row * rank;
    float* target = weights + row * n_in;
    int64_t r = 0;
    for (; r + 4 <= rank; r += 4) {
      const float* a = in_factor + r * n_in;
      const float b0 = b[r];
      const float b1 = b[r + 1];
      const float b2 = b[r + 2];
      const float b3 = b[r + 3];
      for (int64_t i = 0; i < n_in; ++i) {
        target[i] += b0 * a[i] + b1 * a[n_in + i] + b2 * a[2 * n_in + i] + b3 * a[3 * n_in + i];
      }
    }
    for (; r < rank; ++r) {
      const float* a = in_factor + r * n_in;
      for (int64_t i = 0; i < n_in; ++i) target[i] += b[r] * a[i];
    }
  }
}

std::vector<float> Transposed(const std::vector<float>& matrix, size_t rows, size_t columns) {
  std::vector<float> result(matrix.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      result[column * rows + row] = matrix[row * columns + column];
    }
  }
  return result;
}

/// The shape that a pair of factors stands for.
struct TargetShape {
  int64_t n_out;
  int64_t n_in;
  int64_t rank;
};

TargetShape ShapeOf(std::string_view name, const GgufTensor& a, const GgufTensor& b) {
  const auto rows_a = static_cast<int64_t>(a.Rows());
  const auto rows_b = static_cast<int64_t>(b.Rows());
  const auto length_a = static_cast<int64_t>(a.RowLength());
  const auto length_b = static_cast<int64_t>(b.RowLength());
  if (name == kTokenEmbedding) return {rows_a, rows_b, length_b};
  return {rows_b, length_a, length_b};
}

struct Factors {
  const GgufTensor* a;
  const GgufTensor* b;
};

Factors FindFactors(const GgufFile& file, std::string_view name) {
  return {file.Find(std::string(name) + std::string(kSuffixA)),
          file.Find(std::string(name) + std::string(kSuffixB))};
}

}  // namespace

Result<Adapter> Adapter::Open(const std::string& path, double user_scale) {
  if (!std::isfinite(static_cast<float>(user_scale))) {
    return Fail(Errc::kInvalidArgument, "the adapter scale {} is not a number to multiply with",
                user_scale);
  }
  CAIRN_TRY(GgufFile file, GgufFile::Open(path));
  CAIRN_TRY(const std::string general, file.StringOr("general.type", "model"));
  CAIRN_TRY(const std::string kind, file.StringOr("adapter.type", "unknown"));
  if (general != "adapter" || kind != "lora") {
    return Fail(Errc::kInvalidArgument,
                "'{}' is not a LoRA adapter (general.type '{}', adapter.type '{}'); name an "
                "adapter in GGUF form",
                path, Printable(general), Printable(kind));
  }
  Adapter adapter(std::move(file));
  adapter.user_scale_ = user_scale;
  CAIRN_TRY(const double alpha, adapter.file_.Float("adapter.lora.alpha"));
  if (!std::isfinite(alpha)) {
    return Fail(Errc::kCorruption, "adapter.lora.alpha of '{}' is {}; get the file again", path,
                alpha);
  }
  adapter.alpha_ = static_cast<float>(alpha);
  CAIRN_TRY(adapter.ReadTargets());
  CAIRN_TRY(adapter.ReadLandmark());
  return adapter;
}

Status Adapter::ReadTargets() {
  for (const GgufTensor& tensor : file_.tensors()) {
    const std::string_view full = tensor.name;
    if (full == kEmbeddingName) continue;
    const bool is_a = full.ends_with(kSuffixA);
    if (!is_a && !full.ends_with(kSuffixB)) {
      return Fail(Errc::kUnsupported,
                  "adapter '{}' has tensor '{}', and only pairs of .lora_a and .lora_b are "
                  "supported; merge such adapters into the model first",
                  path(), Printable(full));
    }
    const std::string_view name = full.substr(0, full.size() - kSuffixA.size());
    const auto [a, b] = FindFactors(file_, name);
    if (a == nullptr || b == nullptr || a->dims.size() != 2 || b->dims.size() != 2) {
      return Fail(Errc::kCorruption,
                  "adapter '{}' has no pair of matrices for '{}'; convert the adapter again",
                  path(), Printable(name));
    }
    const uint64_t rank = b->RowLength();
    const uint64_t rank_a = name == kTokenEmbedding ? a->RowLength() : a->Rows();
    if (rank != rank_a) {
      return Fail(Errc::kCorruption,
                  "the factors of '{}' in adapter '{}' have ranks {} and {}; convert it again",
                  Printable(name), path(), rank_a, rank);
    }
    if (!CanDequantize(tensor.type)) {
      return Fail(Errc::kUnsupported,
                  "tensor '{}' of adapter '{}' is of type {}; convert it to F16", Printable(full),
                  path(), GgmlTypeName(tensor.type));
    }
    if (is_a) targets_.emplace_back(name);
  }
  return Ok();
}

Status Adapter::ReadLandmark() {
  if (!file_.Has("cairn.landmark.regular_tokens")) return Ok();
  LandmarkInfo info;
  CAIRN_TRY(const uint64_t regular, file_.Uint("cairn.landmark.regular_tokens"));
  CAIRN_TRY(info.in_loss, file_.Bool("cairn.landmark.in_loss"));
  CAIRN_TRY(info.selection, file_.String("cairn.landmark.selection"));
  CAIRN_TRY(const uint64_t context, file_.Uint("cairn.landmark.trained_context"));
  CAIRN_TRY(info.embedding, file_.ReadFloats(kEmbeddingName));
  constexpr uint64_t kMostContext = uint64_t{1} << 28;  // as of a model
  if (regular < 1 || regular >= kMaxBlockRows || context < 1 || context > kMostContext) {
    return Fail(Errc::kCorruption,
                "adapter '{}' says {} regular tokens per block and a context of {}; convert it "
                "again",
                path(), regular, context);
  }
  const auto finite = [](float x) { return std::isfinite(x); };
  if (!std::all_of(info.embedding.begin(), info.embedding.end(), finite)) {
    return Fail(Errc::kCorruption,
                "the landmark embedding of adapter '{}' is not finite; get the file again", path());
  }
  info.regular_tokens = static_cast<int>(regular);
  info.trained_context = static_cast<int>(context);
  landmark_ = std::move(info);
  return Ok();
}

bool Adapter::Has(std::string_view tensor_name) const {
  return FindFactors(file_, tensor_name).a != nullptr;
}

Result<std::optional<LoraFactors>> Adapter::Factors(std::string_view tensor_name, int64_t n_out,
                                                    int64_t n_in) const {
  const auto [a, b] = FindFactors(file_, tensor_name);
  if (a == nullptr) return std::optional<LoraFactors>();
  const TargetShape shape = ShapeOf(tensor_name, *a, *b);
  if (shape.n_out != n_out || shape.n_in != n_in) {
    return Fail(Errc::kMismatch,
                "adapter '{}' has '{}' as {} x {}, the model as {} x {}; it was made for another "
                "model",
                path(), tensor_name, shape.n_out, shape.n_in, n_out, n_in);
  }
  LoraFactors factors;
  factors.rank = shape.rank;
  CAIRN_TRY(factors.a, file_.ReadFloats(a->name));
  CAIRN_TRY(factors.b, file_.ReadFloats(b->name));
  if (tensor_name == kTokenEmbedding) {
    std::swap(factors.a, factors.b);
    factors.a = Transposed(factors.a, static_cast<size_t>(n_in), static_cast<size_t>(shape.rank));
  }
  const auto user_scale = static_cast<float>(user_scale_);
  factors.scale =
      alpha_ == 0.0f ? user_scale : user_scale * alpha_ / static_cast<float>(shape.rank);
  return std::optional<LoraFactors>(std::move(factors));
}

Status Adapter::AddTo(std::string_view tensor_name, float* weights, int64_t n_out,
                      int64_t n_in) const {
  CAIRN_TRY(auto factors, Factors(tensor_name, n_out, n_in));
  if (!factors.has_value()) return Ok();
  for (float& value : factors->a) value *= factors->scale;
  ParallelRanges(n_out, 16, [&](int64_t begin, int64_t end) {
    AddRows(factors->b.data(), factors->a.data(), begin, end, n_in, factors->rank, weights);
  });
  return Ok();
}

Status Adapter::CheckTargets(const GgufFile& base) const {
  for (const std::string& name : targets_) {
    const GgufTensor* target = base.Find(name);
    if (target == nullptr) {
      return Fail(Errc::kMismatch,
                  "adapter '{}' changes '{}', which '{}' does not have; it was made for another "
                  "model",
                  path(), Printable(name), base.path());
    }
    const auto [a, b] = FindFactors(file_, name);
    const TargetShape shape = ShapeOf(name, *a, *b);
    if (target->dims.size() != 2 || static_cast<int64_t>(target->Rows()) != shape.n_out ||
        static_cast<int64_t>(target->RowLength()) != shape.n_in) {
      return Fail(
          Errc::kMismatch,
          "adapter '{}' has '{}' as {} x {}, '{}' as {} x {}; it was made for another model",
          path(), Printable(name), shape.n_out, shape.n_in, base.path(), target->Rows(),
          target->RowLength());
    }
  }
  const GgufTensor* embedding = base.Find(kTokenEmbedding);
  if (landmark_ && embedding != nullptr && embedding->RowLength() != landmark_->embedding.size()) {
    return Fail(Errc::kMismatch,
                "the landmark embedding of adapter '{}' has {} numbers, the rows of '{}' have {}; "
                "it was made for another model",
                path(), landmark_->embedding.size(), base.path(), embedding->RowLength());
  }
  return Ok();
}

std::string Adapter::FingerprintAt(double user_scale) const {
  const auto scale = static_cast<float>(user_scale);
  Hasher hasher;
  hasher.Update(file_.Fingerprint());
  hasher.Update(&scale, sizeof(scale));
  return hasher.Hex();
}

}  // namespace cairn
