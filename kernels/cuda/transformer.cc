#include "kernels/cuda/transformer.h"

#include <algorithm>
#include <initializer_list>
#include <limits>

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostColumns = int64_t{1} << 24;

Element ElementOf(DType type) {
  CAIRN_CHECK(type == DType::kF32 || type == DType::kBF16);
  return static_cast<Element>(type);
}

void CheckSizes(int64_t rows, int64_t columns) {
  CAIRN_CHECK(rows >= 0 && rows <= kMostRows && columns >= 1 && columns <= kMostColumns);
}

bool AreByFours(int64_t columns, std::initializer_list<const void*> pointers) {
  return columns % 4 == 0 && std::ranges::all_of(pointers, [](const void* pointer) {
           return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
         });
}

}  // namespace

Status RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t n,
               DType type, std::byte* y, Stream stream) {
  CheckSizes(rows, n);
  if (rows == 0) return Ok();
  const NormArgs args = {rows,
                         static_cast<int32_t>(n),
                         AreByFours(n, {x, weight, y}),
                         ElementOf(type),
                         epsilon,
                         x,
                         weight,
                         y};
  return Launched("norm of rows", LaunchNorm(args, stream));
}

Status FinishHeads(const HeadWeights& weights, const HeadCounts& heads, int64_t rows, float* qkv,
                   Stream stream) {
  CheckSizes(rows, int64_t{heads.total()} * heads.head_dim);
  const bool changes =
      weights.bias != nullptr || weights.query_norm != nullptr || weights.key_norm != nullptr;
  if (rows == 0 || !changes) return Ok();
  const HeadsArgs args = {rows,
                          heads.query_heads,
                          heads.kv_heads,
                          heads.head_dim,
                          weights.epsilon,
                          weights.bias,
                          weights.query_norm,
                          weights.key_norm,
                          qkv};
  return Launched("bias and norms of heads", LaunchHeads(args, stream));
}

Status AddRows(float* x, const float* y, int64_t count, const int32_t* stopped, Stream stream) {
  CAIRN_CHECK(count >= 0);
  if (count == 0) return Ok();
  return Launched("adding rows", LaunchAdd({count, AreByFours(0, {x, y}), x, y, stopped}, stream));
}

Status SwiGlu(const float* gate_up, int64_t rows, int64_t ffn, DType type, std::byte* y,
              Stream stream) {
  CheckSizes(rows, ffn);
  if (rows == 0) return Ok();
  const SwiGluArgs args = {
      rows, static_cast<int32_t>(ffn), AreByFours(ffn, {gate_up, y}), ElementOf(type), gate_up, y};
  return Launched("SwiGLU", LaunchSwiGlu(args, stream));
}

Status ConvertFloats(const float* x, int64_t count, DType type, std::byte* y, Stream stream) {
  CAIRN_CHECK(count >= 0);
  if (count == 0) return Ok();
  const ConvertArgs args = {count, AreByFours(0, {x, y}), ElementOf(type), x, y};
  return Launched("conversion", LaunchConvert(args, stream));
}

Status Greedy(const float* logits, int64_t rows, int64_t vocab, int32_t* ids, Stream stream) {
  CheckSizes(rows, vocab);
  if (rows == 0) return Ok();
  const GreedyArgs args = {rows, static_cast<int32_t>(vocab), AreByFours(vocab, {logits}), logits,
                           ids};
  return Launched("choice of tokens", LaunchGreedy(args, stream));
}

}  // namespace cairn::cuda
