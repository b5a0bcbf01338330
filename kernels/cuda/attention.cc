#include "kernels/cuda/attention.h"

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostBlocksOfThreads = 65535;  // in the second and third dimension of a grid

Status CheckParams(const AttendParams& params) {
  CAIRN_TRY(CheckShape(params.shape));
  CAIRN_CHECK(params.heads >= 1 && params.rows >= 0 && params.group >= 1);
  if (params.rows > kMostBlocksOfThreads || params.heads * params.group > kMostBlocksOfThreads) {
    return Fail(Errc::kUnsupported,
                "{} rows of {} heads are more than one call takes on a CUDA device; use fewer rows",
                params.rows, params.heads * params.group);
  }
  return Ok();
}

// As many as have the 24 bits of f32, unless rounding is allowed: f16 has 11, bf16 8.
int32_t TermsOf(DType type, bool rounded) {
  if (rounded) return 1;
  return type == DType::kBF16 ? 3 : 2;
}

bool FitsTensor(const Layout& layout, int32_t terms) {
  return layout.element != Element::kF32 && TensorSharedBytes(layout, terms) <= MostSharedBytes();
}

AttendArgs ArgsOf(const AttendParams& params) {
  AttendArgs args = {};
  args.layout = LayoutOf(params.shape);
  args.rotation = RotationOf(params.rope);
  args.grouped = params.mode == SoftmaxMode::kGrouped;
  args.terms = TermsOf(params.shape.dtype, params.bf16);
  args.scale = params.scale;
  args.heads = params.heads;
  args.rows = params.rows;
  args.group = params.group;
  args.q = params.q;
  args.q_row_stride = params.q_row_stride;
  args.q_positions = params.q_positions;
  args.blocks = params.blocks;
  args.block_counts = params.block_counts;
  args.block_stride = params.block_stride;
  args.o = params.o;
  args.o_row_stride = params.o_row_stride;
  args.lse = params.lse;
  return args;
}

int64_t QueriesOf(const AttendParams& params) {
  return int64_t{params.rows} * params.heads * params.group;
}

}  // namespace

size_t DecodeScratchFloats(const AttendParams& params, int32_t splits) {
  return static_cast<size_t>(splits * QueriesOf(params) * (params.shape.head_dim + 1));
}

int64_t DecodeCounts(int32_t rows, int32_t heads, int32_t group) {
  return int64_t{rows} * heads * ((group + 3) / 4);  // a pass is of four heads or more
}

Status AttendDecode(const AttendParams& params, const DecodeShare& share, Stream stream) {
  CAIRN_TRY(CheckParams(params));
  if (params.rows == 0) return Ok();
  const bool in_parts = share.splits > 1 || share.arrived != nullptr;
  CAIRN_CHECK(share.splits >= 1 && (!in_parts || share.scratch != nullptr));
  CAIRN_CHECK((share.other_o == nullptr) == (share.other_lse == nullptr));
  CAIRN_CHECK(share.other_o == nullptr || share.arrived != nullptr);
  const AttendArgs args = ArgsOf(params);
  Parts parts = {share.splits, nullptr, nullptr, share.other_o, share.other_lse, share.arrived};
  if (in_parts) {
    parts.o = share.scratch;
    parts.lse = share.scratch + share.splits * QueriesOf(params) * params.shape.head_dim;
  }
  CAIRN_TRY(Launched("attention of few rows", LaunchDecode(args, parts, stream)));
  if (share.splits == 1 || share.arrived != nullptr) return Ok();
  return Launched("merging of parts", LaunchMerge(args, parts, stream));
}

Status MergeParts(const AttendParams& params, float* o, float* lse, Stream stream) {
  CAIRN_TRY(CheckParams(params));
  if (params.rows == 0) return Ok();
  const Parts parts = {2, o, lse, nullptr, nullptr, nullptr};
  return Launched("merging of parts", LaunchMerge(ArgsOf(params), parts, stream));
}

bool FitsPrefill(const BlockShape& shape) {
  const Layout layout = LayoutOf(shape);
  return PrefillSharedBytes(layout) <= MostSharedBytes() ||
         FitsTensor(layout, TermsOf(shape.dtype, false));
}

Status AttendPrefill(const AttendParams& params, Stream stream) {
  CAIRN_TRY(CheckParams(params));
  if (params.rows == 0) return Ok();
  const AttendArgs args = ArgsOf(params);
  if (!FitsPrefill(params.shape)) {
    return Fail(Errc::kUnsupported,
                "blocks of {} rows of {} numbers do not fit a CUDA device's shared memory; use "
                "smaller blocks",
                params.shape.block_rows, params.shape.head_dim);
  }
  const bool tensor = FitsTensor(args.layout, args.terms);
  return Launched("attention of many rows",
                  tensor ? LaunchTensorPrefill(args, stream) : LaunchPrefill(args, stream));
}

}  // namespace cairn::cuda
