// What CUDA kernels are given, and the functions that launch them. All but PlacedBlock is internal
// to kernels/cuda/. Both CUDA's compiler and the host's read this, so it includes nothing but
// fixed-width types.
//
// Launchers return null, or CUDA's words for what went wrong. Arguments have been checked.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace cairn::cuda {

/// DType, value by value.
enum class Element : uint8_t { kF32 = 0, kF16 = 1, kBF16 = 2, kQ8 = 3 };

constexpr int64_t ElementBytes(Element type) {
  return type == Element::kF32 ? 4 : type == Element::kQ8 ? 1 : 2;
}

/// A BlockRef whose payload is in device memory.
struct PlacedBlock {
  const std::byte* payload = nullptr;
  int32_t position = 0;  ///< of row 0
  int32_t rows = 0;      ///< rows written so far, in [0, B]
};

/// A BlockShape with its offsets worked out.
struct Layout {
  int32_t block_rows;
  int32_t head_dim;
  Element element;
  int64_t row_bytes;
  int64_t values_at;  ///< bytes from the payload's beginning
  int64_t scales_at;  ///< kQ8; of K's, V's follow
};

struct Rotation {
  const float* table;  ///< RopeTable's, [positions, D]
  int32_t positions;
  bool interleaved;
};

struct AttendArgs {
  Layout layout;
  Rotation rotation;
  bool grouped;
  int32_t terms;  ///< of a query or weight in products of 16-bit numbers
  float scale;
  int32_t heads, rows, group;
  const float* q;
  int64_t q_row_stride;
  const int32_t* q_positions;
  const PlacedBlock* blocks;
  const int32_t* block_counts;
  int32_t block_stride;
  float* o;
  int64_t o_row_stride;
  float* lse;
};

/// Parts of a decode: `o` is [splits, T, Hq, D] and `lse` [splits, T, Hq]. With one part and
/// nothing else the result goes where it belongs.
struct Parts {
  int32_t splits;
  float* o;
  float* lse;
  const float* other_o;  ///< [T, Hq, D], of other blocks, or null
  const float* other_lse;
  int32_t* arrived;  ///< of a decode, [T, Hkv, passes]: parts that are done; null: not merged
};

const char* LaunchDecode(const AttendArgs& args, const Parts& parts, CUstream_st* stream);
/// The same on tensor cores, which LaunchDecode leaves to it: 16-bit numbers and codes, of which a
/// row's are read 8 at a time.
constexpr bool IsForTensorDecode(const Layout& layout) {
  return layout.element != Element::kF32 && layout.head_dim % 8 == 0;
}
const char* LaunchTensorDecode(const AttendArgs& args, const Parts& parts, CUstream_st* stream);
const char* LaunchMerge(const AttendArgs& args, const Parts& parts, CUstream_st* stream);
const char* LaunchPrefill(const AttendArgs& args, CUstream_st* stream);
/// Shared memory that a prefill of this shape takes in bytes.
int64_t PrefillSharedBytes(const Layout& layout);
/// The same on tensor cores, of what is not f32.
const char* LaunchTensorPrefill(const AttendArgs& args, CUstream_st* stream);
int64_t TensorSharedBytes(const Layout& layout, int32_t terms);
/// The most that a block of threads may have on the calling thread's device; what compute
/// capability 8.0 has, if that cannot be asked.
int64_t MostSharedBytes();

struct AppendArgs {
  Layout layout;
  Rotation rotation;
  int32_t heads, rows;
  const int32_t* first_row;
  const float* k;
  const float* v;
  int64_t stride;
  std::byte* blocks;
  int64_t head_stride, block_stride;  ///< bytes
};
const char* LaunchAppend(const AppendArgs& args, CUstream_st* stream);

struct MeansArgs {
  Layout layout;
  int32_t blocks;
  int32_t count;  ///< means of a block; 0: its landmark key
  const std::byte* const* payloads;
  float* means;
};
const char* LaunchMeans(const MeansArgs& args, CUstream_st* stream);

struct SealArgs {
  Layout open, sealed;
  int32_t blocks;
  const std::byte* const* sources;
  std::byte* const* targets;
};
const char* LaunchSeal(const SealArgs& args, CUstream_st* stream);

const char* LaunchGather(int32_t blocks, int64_t bytes, const std::byte* const* sources,
                         std::byte* const* targets, CUstream_st* stream);

inline constexpr int32_t kScoredRows = 8;  // that a block of threads scores at once

struct ScoreArgs {
  int32_t partitions, rows, dim, padded_dim;
  int64_t vectors;
  Element element;  ///< kF32 or kBF16
  const std::byte* stored;
  int64_t partition_stride;
  const float* queries;
  float* scores;
  int64_t score_stride;
};
const char* LaunchScore(const ScoreArgs& args, CUstream_st* stream);

struct CodeArgs {
  int32_t partitions, vectors, dim, coded_dim, kept;
  Element element;  ///< kF32 or kBF16
  const std::byte* plain;
  int64_t row_bytes, plain_stride;  ///< bytes
  int8_t* codes;
  int64_t code_stride;
  float* scales;
  int64_t scale_stride;
};
const char* LaunchCodeChunk(const CodeArgs& args, CUstream_st* stream);

struct ScoreCodesArgs {
  int32_t partitions, rows, dim, coded_dim;
  int32_t chunks, chunk_vectors;
  int32_t first;    ///< vector of the first chunk that is scored
  int64_t vectors;  ///< from it on
  Element element;  ///< of vectors before they were coded
  float units, no_query;
  const int8_t* codes;  ///< of the first chunk, as scales
  int64_t code_stride;
  const float* scales;
  int64_t scale_stride;
  const float* queries;
  float* scores;
  int64_t score_stride;
};
const char* LaunchScoreCodes(const ScoreCodesArgs& args, CUstream_st* stream);

struct FoldArgs {
  int32_t partitions, rows, rows_per_group, blocks, representatives, k;
  const float* scores;
  const float* other_lse;
  float* lse;
  int32_t* chosen;
  float* log_weights;
  float* weights;  ///< [P, groups, n], to work in
};
const char* LaunchFold(const FoldArgs& args, CUstream_st* stream);

/// Rows of queries that a step's choice looks at: row first + i·stride is its i-th.
struct Sampled {
  int32_t heads, group, dim, rows;
  const float* q;
  int64_t q_row_stride;
  const int32_t* positions;
  int32_t first, stride;
  float scale;
};

struct SearchQueriesArgs {
  Sampled sampled;
  Rotation rotation;
  int32_t slot_position;
  bool bf16;
  float* queries;
  int32_t* missing;
};
const char* LaunchSearchQueries(const SearchQueriesArgs& args, CUstream_st* stream);

struct NearScoresArgs {
  Sampled sampled;
  Rotation rotation;
  int32_t near, block_rows;
  const float* keys;
  float* scores;
  int64_t score_stride;
};
const char* LaunchNearScores(const NearScoresArgs& args, CUstream_st* stream);

inline constexpr int32_t kSubBlocks = 32;     // a sub: of a scan's candidates, a lane's each
inline constexpr int32_t kMostScanned = 256;  // vectors that a block of threads scores

/// The head size that a scan's kernel is made for: there is one for f32, which is for tests.
constexpr int32_t ScanDim(Element element, int32_t dim) {
  if (element == Element::kF32) return 256;
  return dim <= 64 ? 64 : dim <= 128 ? 128 : 256;
}
/// Vectors that a block of threads scores at once.
constexpr int32_t CodeRunVectors(Element element, int32_t dim) {
  return ScanDim(element, dim) <= 128 ? 256 : 128;
}
constexpr int32_t VectorRunVectors(Element element, int32_t dim) {
  if (element == Element::kF32) return 16;
  return dim <= 128 ? 64 : 32;
}

/// Candidates fall into runs, one of which a block of threads takes, and runs into subs of up to
/// kSubBlocks: those that are codes (each chunk begins a run), those that are not, and near ones.
struct ScanArgs {
  Sampled sampled;
  Rotation rotation;  ///< without a table: queries as they are
  int32_t slot_position;
  bool bf16;
  int32_t* missing;
  int32_t partitions, rows, representatives;
  Element element;
  ScoreCodesArgs codes;  ///< without queries and scores
  ScoreArgs plain;       ///< too
  int32_t coded, far;    ///< blocks
  int32_t near, block_rows;
  const float* near_keys;
  int32_t k;
  const float* other_lse;
  float* lse;
  int32_t* chosen;
  float* log_weights;
  int32_t code_run_blocks, code_parts, code_runs, code_subs;  ///< parts of a chunk, subs of a run
  int32_t plain_run_blocks, plain_passes, plain_runs, plain_subs;
  int32_t near_runs;  ///< of a sub each
  int32_t subs;
  float* scores;     ///< [P, subs, rows, kSubBlocks]
  float* parts;      ///< [P, rows, subs, 2]: the largest score, and the sum of exp(score − that)
  int32_t* arrived;  ///< [P]: runs that are done
};
/// `overlaps`: as ScanParams says.
const char* LaunchScan(const ScanArgs& args, bool overlaps, CUstream_st* stream);

struct PlaceArgs {
  int32_t heads, groups, k, fixed, sinks, block_rows;
  const int32_t* chosen;
  int32_t far_begin, far_count, near_begin, near_end, first_slot, crowd;
  const int32_t* fixed_blocks;
  const int32_t* fixed_slots;
  const uint32_t* table;
  int64_t table_stride;
  const std::byte* slots;
  int64_t slot_bytes;
  PlacedBlock* placed;
  int32_t* counts;
  int32_t* ordinals;
  int32_t* missing;
  int32_t* stopped;
};
const char* LaunchPlace(const PlaceArgs& args, CUstream_st* stream);

const char* LaunchUpdateTable(int32_t count, const int64_t* places, const uint32_t* values,
                              uint32_t* table, CUstream_st* stream);

// By fours: rows have a multiple of four numbers, and all begin at multiples of 16 bytes.
struct NormArgs {
  int64_t rows;
  int32_t n;
  bool by_fours;
  Element element;  ///< of y: kF32 or kBF16
  float epsilon;
  const float* x;
  const float* weight;
  std::byte* y;
};
const char* LaunchNorm(const NormArgs& args, CUstream_st* stream);

struct HeadsArgs {
  int64_t rows;
  int32_t query_heads;
  int32_t kv_heads;
  int32_t head_dim;
  float epsilon;
  const float* bias;        ///< or null
  const float* query_norm;  ///< or null
  const float* key_norm;    ///< or null
  float* qkv;
};
const char* LaunchHeads(const HeadsArgs& args, CUstream_st* stream);

struct AddArgs {
  int64_t count;
  bool by_fours;
  float* x;
  const float* y;
  const int32_t* stopped;  ///< or null
};
const char* LaunchAdd(const AddArgs& args, CUstream_st* stream);

struct SwiGluArgs {
  int64_t rows;
  int32_t ffn;
  bool by_fours;
  Element element;
  const float* gate_up;
  std::byte* y;
};
const char* LaunchSwiGlu(const SwiGluArgs& args, CUstream_st* stream);

struct ConvertArgs {
  int64_t count;
  bool by_fours;
  Element element;
  const float* x;
  std::byte* y;
};
const char* LaunchConvert(const ConvertArgs& args, CUstream_st* stream);

struct GreedyArgs {
  int64_t rows;
  int32_t vocab;
  bool by_fours;
  const float* logits;
  int32_t* ids;
};
const char* LaunchGreedy(const GreedyArgs& args, CUstream_st* stream);

}  // namespace cairn::cuda
