// Chooses the implementation of LandmarkIndex by IndexOptions::kind.
#include "index/exact_index.h"
#include "index/faiss_cpu_index.h"
#include "index/landmark_index.h"

namespace cairn {
namespace {

constexpr int32_t kMaxDim = 4096;
constexpr int32_t kMaxRepresentatives = 256;

}  // namespace

Result<IndexKind> ParseIndexKind(std::string_view text) {
  if (text == "auto") return IndexKind::kAuto;
  if (text == "exact") return IndexKind::kExact;
  if (text == "int8") return IndexKind::kInt8;
  if (text == "faiss") return IndexKind::kFaiss;
  return Fail(Errc::kInvalidArgument, "'{}' is not a kind of index; use auto, exact, int8 or faiss",
              text);
}

std::string_view IndexKindName(IndexKind kind) {
  switch (kind) {
    case IndexKind::kAuto:
      return "auto";
    case IndexKind::kExact:
      return "exact";
    case IndexKind::kFaiss:
      return "faiss";
    case IndexKind::kInt8:
      return "int8";
  }
  return "unknown";
}

IndexKind IndexOptions::Chosen() const {
  return kind == IndexKind::kAuto ? IndexKind::kExact : kind;
}

Status IndexOptions::Validate() const {
  if (partitions < 1) {
    return Fail(Errc::kInvalidArgument, "an index needs at least 1 partition, not {}", partitions);
  }
  if (dim < 1 || dim > kMaxDim) {
    return Fail(Errc::kInvalidArgument, "the index's dimension {} is not within 1 to {}", dim,
                kMaxDim);
  }
  if (representatives < 1 || representatives > kMaxRepresentatives) {
    return Fail(Errc::kInvalidArgument, "{} representatives per block are not within 1 to {}",
                representatives, kMaxRepresentatives);
  }
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return Fail(Errc::kInvalidArgument, "an index keeps f32 or bf16, not {}", DTypeName(dtype));
  }
  return Ok();
}

Result<std::unique_ptr<LandmarkIndex>> MakeIndex(const IndexOptions& options) {
  CAIRN_TRY(options.Validate());
  switch (options.Chosen()) {
    case IndexKind::kFaiss:
      return MakeFaissCpuIndex(options);
    case IndexKind::kInt8:
      return MakeInt8Index(options);
    default:
      return MakeExactIndex(options);
  }
}

}  // namespace cairn
