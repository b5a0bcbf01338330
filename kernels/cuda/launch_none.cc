// Kernels of a build without CUDA: there are none, and no device that could be asked to run them.
#include "kernels/cuda/launch.h"

namespace cairn::cuda {
namespace {

constexpr const char* kNone = "this cairn was built without CUDA (docs/gpu.md)";

}  // namespace

const char* LaunchDecode(const AttendArgs&, const Parts&, CUstream_st*) { return kNone; }
const char* LaunchMerge(const AttendArgs&, const Parts&, CUstream_st*) { return kNone; }
const char* LaunchPrefill(const AttendArgs&, CUstream_st*) { return kNone; }
int64_t MostSharedBytes() { return 0; }
int64_t PrefillSharedBytes(const Layout&) { return 0; }
const char* LaunchTensorPrefill(const AttendArgs&, CUstream_st*) { return kNone; }
int64_t TensorSharedBytes(const Layout&, int32_t) { return 0; }
const char* LaunchAppend(const AppendArgs&, CUstream_st*) { return kNone; }
const char* LaunchMeans(const MeansArgs&, CUstream_st*) { return kNone; }
const char* LaunchSeal(const SealArgs&, CUstream_st*) { return kNone; }
const char* LaunchGather(int32_t, int64_t, const std::byte* const*, std::byte* const*,
                         CUstream_st*) {
  return kNone;
}
const char* LaunchScore(const ScoreArgs&, CUstream_st*) { return kNone; }
const char* LaunchCodeChunk(const CodeArgs&, CUstream_st*) { return kNone; }
const char* LaunchScoreCodes(const ScoreCodesArgs&, CUstream_st*) { return kNone; }
const char* LaunchFold(const FoldArgs&, CUstream_st*) { return kNone; }
const char* LaunchSearchQueries(const SearchQueriesArgs&, CUstream_st*) { return kNone; }
const char* LaunchNearScores(const NearScoresArgs&, CUstream_st*) { return kNone; }
const char* LaunchScan(const ScanArgs&, bool, CUstream_st*) { return kNone; }
const char* LaunchPlace(const PlaceArgs&, CUstream_st*) { return kNone; }
const char* LaunchUpdateTable(int32_t, const int64_t*, const uint32_t*, uint32_t*, CUstream_st*) {
  return kNone;
}
const char* LaunchNorm(const NormArgs&, CUstream_st*) { return kNone; }
const char* LaunchHeads(const HeadsArgs&, CUstream_st*) { return kNone; }
const char* LaunchAdd(const AddArgs&, CUstream_st*) { return kNone; }
const char* LaunchSwiGlu(const SwiGluArgs&, CUstream_st*) { return kNone; }
const char* LaunchConvert(const ConvertArgs&, CUstream_st*) { return kNone; }
const char* LaunchGreedy(const GreedyArgs&, CUstream_st*) { return kNone; }

}  // namespace cairn::cuda
