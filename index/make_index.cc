// Chooses the implementation of LandmarkIndex by IndexOptions::kind.
#include "index/faiss_cpu_index.h"
#include "index/landmark_index.h"
#include "index/store_index.h"

namespace cairn {
namespace {

constexpr int32_t kMaxRepresentatives = 256;

}  // namespace

Result<IndexKind> ParseIndexKind(std::string_view text) {
  if (text == "auto") return IndexKind::kAuto;
  if (text == "exact") return IndexKind::kExact;
  if (text == "int8") return IndexKind::kInt8;
  if (text == "lists") return IndexKind::kLists;
  if (text == "faiss") return IndexKind::kFaiss;
  return Fail(Errc::kInvalidArgument,
              "'{}' is not a kind of index; use auto, exact, int8, lists or faiss", text);
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
    case IndexKind::kLists:
      return "lists";
  }
  return "unknown";
}

IndexKind IndexOptions::Chosen(int64_t blocks) const {
  if (kind != IndexKind::kAuto) return kind;
  if (dtype == DType::kF32) return IndexKind::kExact;
  return blocks * representatives < kListedFrom ? IndexKind::kExact : IndexKind::kLists;
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
  switch (options.kind) {
    case IndexKind::kAuto:
      if (options.dtype != DType::kF32) return MakeAutoIndex(options);
      break;
    case IndexKind::kExact:
      break;
    case IndexKind::kFaiss:
      return MakeFaissCpuIndex(options);
    case IndexKind::kInt8:
      return MakeInt8Index(options);
    case IndexKind::kLists:
      return MakeListIndex(options);
  }
  return MakeExactIndex(options);
}

}  // namespace cairn
