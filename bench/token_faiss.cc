#include "bench/token_faiss.h"

#include <cstring>
#include <memory>
#include <vector>

#include "index/faiss_gpu.h"
#include "index/faiss_gpu_rows.h"

namespace cairn {
namespace {

class TokenFaiss {
 public:
  TokenFaiss(DeviceRig& rig, const DeviceShape& shape, const std::byte* landmarks)
      : rig_(rig), shape_(shape), landmarks_(landmarks) {}

  Status Open();
  Status Measure(FaissTimes* times);

 private:
  int64_t blocks() const { return shape_.tokens / shape_.block.block_rows; }
  int64_t rows() const { return int64_t{shape_.kv_heads} * shape_.group; }
  int32_t found() const { return VectorsToFind(shape_.retrieve, blocks(), 1); }
  const std::byte* LandmarksOf(int64_t head) const {
    return landmarks_ + head * blocks() * shape_.block.head_dim * kHalfBytes;
  }
  Status SearchLayer(int32_t layer);
  Status SearchHeads(int32_t layer);

  static constexpr int64_t kHalfBytes = 2;
  DeviceRig& rig_;
  const DeviceShape shape_;
  const std::byte* landmarks_;
  PinnedBuffer wide_, back_;
  DeviceBuffer wide_on_device_;      // queries, [KV heads, G, KV heads, D], zero but for their own
  DeviceBuffer queries_;             // [KV heads, G, D]
  DeviceBuffer found_;               // scores and labels, [KV heads, G, found] each
  std::unique_ptr<FaissGpu> faiss_;  // goes first
};

Status TokenFaiss::Open() {
  Device& device = rig_.device();
  const int32_t heads = shape_.kv_heads, dim = shape_.block.head_dim;
  CAIRN_TRY(faiss_, FaissGpu::Make(device, rig_.stream().get()));
  const auto numbers = static_cast<size_t>(rows() * dim);
  const std::vector<float> queries = NormalNumbers(numbers, 1);
  CAIRN_TRY(wide_, device.AllocatePinned(numbers * static_cast<size_t>(heads * kHalfBytes)));
  CAIRN_TRY(wide_on_device_, device.Allocate(wide_.bytes()));
  LayQueries(DType::kF16, dim, heads, shape_.group, queries.data(), heads, 0, wide_.data());
  std::vector<uint16_t> halves(numbers);
  ConvertFromFloat(DType::kF16, queries.data(), reinterpret_cast<std::byte*>(halves.data()),
                   numbers);
  CAIRN_TRY(queries_, rig_.Put(halves));
  const auto pairs = static_cast<size_t>(rows()) * static_cast<size_t>(found());
  CAIRN_TRY(found_, device.Allocate(pairs * (sizeof(float) + sizeof(int32_t))));
  CAIRN_TRY(back_, device.AllocatePinned(found_.bytes()));
  return Ok();
}

// As FaissGpuIndex puts it there.
Status TokenFaiss::SearchLayer(int32_t layer) {
  DeviceStream& stream = rig_.stream();
  const auto put = [&]() -> Status {
    CAIRN_TRY(stream.CopyToDevice(wide_on_device_.data(), wide_.data(), wide_.bytes()));
    CAIRN_TRY(faiss_->Search({.type = DType::kF16,
                              .dim = shape_.kv_heads * shape_.block.head_dim,
                              .vectors = LandmarksOf(int64_t{layer} * shape_.kv_heads),
                              .count = blocks(),
                              .queries = wide_on_device_.data(),
                              .rows = rows(),
                              .k = found(),
                              .scores = As<float>(found_),
                              .labels = As<int32_t>(found_) + rows() * found()}));
    return stream.CopyToHost(back_.data(), found_.data(), found_.bytes());
  };
  return stream.WaitAfter(put());
}

Status TokenFaiss::SearchHeads(int32_t layer) {
  const int32_t group = shape_.group, dim = shape_.block.head_dim, k = shape_.retrieve;
  for (int64_t head = 0; head < shape_.kv_heads; ++head) {
    CAIRN_TRY(faiss_->Search({.type = DType::kF16,
                              .dim = dim,
                              .vectors = LandmarksOf(int64_t{layer} * shape_.kv_heads + head),
                              .count = blocks(),
                              .queries = queries_.data() + head * group * dim * kHalfBytes,
                              .rows = group,
                              .k = k,
                              .scores = As<float>(found_) + head * group * k,
                              .labels = As<int32_t>(found_) + (rows() + head * group) * k}));
  }
  return Ok();
}

Status TokenFaiss::Measure(FaissTimes* times) {
  const auto time = [&](const char* what, auto search) {
    return rig_.DeviceSeconds(what, 1, [&](int32_t) -> Status {
      for (int32_t layer = 0; layer < shape_.layers; ++layer) CAIRN_TRY(search(layer));
      return Ok();
    });
  };
  CAIRN_TRY(times->search_seconds, time("FAISS, a call for each layer",
                                        [&](int32_t layer) { return SearchLayer(layer); }));
  CAIRN_TRY(times->flat_seconds,
            time("FAISS, a call for each head", [&](int32_t layer) { return SearchHeads(layer); }));
  return Ok();
}

}  // namespace

Result<FaissTimes> TimeFaiss(DeviceRig& rig, const DeviceShape& shape, const std::byte* landmarks) {
  FaissTimes times;
  TokenFaiss faiss(rig, shape, landmarks);
  Status measured = faiss.Open();
  if (measured) measured = faiss.Measure(&times);
  if (measured) return times;
  if (measured.error().code == Errc::kInterrupted) return std::move(measured).as_failure();
  return FaissTimes{{}, {}, measured.error().message};
}

}  // namespace cairn
