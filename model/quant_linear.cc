#include "model/quant_linear.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"
#include "base/parallel.h"
#include "kernels/low_rank.h"
#include "kernels/quant_product.h"

namespace cairn {
namespace {

constexpr int64_t kMaxRank = 1024;

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

QuantShape ShapeOf(const GgufTensor& tensor) {
  QuantShape shape;
  shape.n = static_cast<int64_t>(tensor.Rows());
  shape.k = static_cast<int64_t>(tensor.RowLength());
  shape.code_bits = CodeBits(tensor.type);
  QuantCodes first;
  ReadCodes(tensor.type, tensor.data, &first);
  shape.group = first.group;
  return shape;
}

bool Suits(const QuantSource& source) {
  const GgufTensor& tensor = *source.tensor;
  return CodeBits(tensor.type) != 0 && tensor.RowLength() % kQuantPiece == 0 &&
         std::all_of(source.factors.begin(), source.factors.end(),
                     [](const LoraFactors& factors) { return factors.rank <= kMaxRank; });
}

void PackRow(const GgufTensor& tensor, const QuantShape& shape, int64_t row, std::byte* pack) {
  const GgmlBlock block = GgmlBlockOf(tensor.type);
  const int64_t groups = block.values / shape.group;  // of a block of the file
  const std::byte* from =
      tensor.data + static_cast<size_t>(row * shape.k / block.values) * block.bytes;
  QuantCodes codes;
  for (int64_t g = 0; g < shape.k / shape.group; ++g) {
    const auto within = static_cast<size_t>(g % groups);
    if (within == 0) {
      ReadCodes(tensor.type, from, &codes);
      from += block.bytes;
    }
    const uint16_t scale = FloatToHalf(codes.scales[within]);
    const float lowest =
        codes.minimums[within] - static_cast<float>(codes.offset) * HalfToFloat(scale);
    PackQuantGroup(shape, row, g,
                   {codes.codes.data() + within * static_cast<size_t>(shape.group), scale,
                    FloatToHalf(lowest)},
                   pack);
  }
}

class QuantLinear : public Linear {
 public:
  QuantLinear(const std::vector<QuantSource>& sources, std::byte* memory) : memory_(memory) {
    for (const QuantSource& source : sources) AddPart(source);
    k_ = parts_.front().shape.k;
    codes_.resize(static_cast<size_t>(k_));
    scales_.resize(static_cast<size_t>(k_ / kQuantPiece));
    sums_.resize(scales_.size() * 2);
  }

  void Apply(const float* x, int64_t rows, float* y) const override {
    for (int64_t row = 0; row < rows; ++row) ApplyRow(x + row * k_, y + row * n_);
  }
  int64_t n() const override { return n_; }
  int64_t k() const override { return k_; }
  uint64_t bytes() const override { return bytes_; }

 private:
  struct LowRank {
    int64_t rank;
    float scale;
    const uint16_t* a;  // [rank, k]
    const uint16_t* b;  // [rank, n]
    float* down;        // [rank], of the row at hand
  };
  struct Part {
    QuantShape shape;
    const std::byte* pack;
    int64_t first_row;
    int64_t first_tile;
    std::vector<LowRank> low_ranks;
  };

  std::byte* Take(size_t bytes) {
    std::byte* taken = memory_ + bytes_;
    bytes_ += Aligned(bytes);
    return taken;
  }

  void AddPart(const QuantSource& source) {
    Part part;
    part.shape = ShapeOf(*source.tensor);
    part.first_row = n_;
    part.first_tile = tiles_;
    std::byte* pack = Take(part.shape.bytes());
    part.pack = pack;
    ParallelRanges(part.shape.n, kQuantRows, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) PackRow(*source.tensor, part.shape, row, pack);
    });
    for (const LoraFactors& factors : source.factors) {
      part.low_ranks.push_back(TakeFactors(factors, part.shape));
    }
    n_ += part.shape.n;
    tiles_ += part.shape.tiles();
    parts_.push_back(std::move(part));
  }

  LowRank TakeFactors(const LoraFactors& factors, const QuantShape& shape) {
    const auto bytes_of = [&](int64_t width) {
      return static_cast<size_t>(factors.rank * width) * sizeof(uint16_t);
    };
    auto* a = reinterpret_cast<uint16_t*>(Take(bytes_of(shape.k)));
    auto* b = reinterpret_cast<uint16_t*>(Take(bytes_of(shape.n)));
    auto* down = reinterpret_cast<float*>(Take(static_cast<size_t>(factors.rank) * sizeof(float)));
    ConvertFromFloat(DType::kF16, factors.a.data(), a, factors.a.size());
    for (int64_t i = 0; i < shape.n; ++i) {
      for (int64_t r = 0; r < factors.rank; ++r) {
        b[r * shape.n + i] = FloatToHalf(factors.b[static_cast<size_t>(i * factors.rank + r)]);
      }
    }
    return {factors.rank, factors.scale, a, b, down};
  }

  void ApplyRow(const float* x, float* y) const {
    int32_t group = 0;
    // Parts of one group size share a rounded vector; in files there is one size, or one change.
    for (size_t first = 0, end = 0; first < parts_.size(); first = end) {
      group = parts_[first].shape.group;
      while (end < parts_.size() && parts_[end].shape.group == group) ++end;
      const QuantVector vector{codes_.data(), scales_.data(), sums_.data()};
      QuantizeVector(parts_[first].shape, x, vector);
      for (size_t i = first; i < end; ++i) {
        for (const LowRank& low : parts_[i].low_ranks) {
          LowRankDown(low.a, low.rank, k_, low.scale, x, low.down);
        }
      }
      const int64_t begin_tile = parts_[first].first_tile;
      const int64_t end_tile = end < parts_.size() ? parts_[end].first_tile : tiles_;
      ParallelRanges(end_tile - begin_tile, 1, [&](int64_t begin, int64_t last) {
        for (size_t i = first; i < end; ++i) {
          ApplyTiles(parts_[i], vector, begin_tile + begin, begin_tile + last, y);
        }
      });
    }
  }

  /// Those of tiles [begin, end) of the whole product that are the part's.
  static void ApplyTiles(const Part& part, const QuantVector& vector, int64_t begin, int64_t end,
                         float* y) {
    const int64_t first = std::max<int64_t>(0, begin - part.first_tile);
    const int64_t last = std::min(part.shape.tiles(), end - part.first_tile);
    if (first >= last) return;
    float* target = y + part.first_row;
    QuantProduct(part.shape, part.pack, vector, first, last, target);
    for (const LowRank& low : part.low_ranks) {
      LowRankUp(low.b, low.rank, part.shape.n, low.down, first * kQuantRows,
                std::min(part.shape.n, last * kQuantRows), target);
    }
  }

  std::byte* memory_;
  size_t bytes_ = 0;
  int64_t n_ = 0;
  int64_t k_ = 0;
  int64_t tiles_ = 0;
  std::vector<Part> parts_;
  mutable std::vector<int16_t> codes_;  // of the row at hand, as are scales and sums
  mutable std::vector<float> scales_;
  mutable std::vector<float> sums_;
};

}  // namespace

size_t QuantLinearBytes(const std::vector<QuantSource>& sources) {
  size_t bytes = 0;
  for (const QuantSource& source : sources) {
    if (!Suits(source)) return 0;
    const QuantShape shape = ShapeOf(*source.tensor);
    if (shape.k != static_cast<int64_t>(sources.front().tensor->RowLength())) return 0;
    bytes += Aligned(shape.bytes());
    for (const LoraFactors& factors : source.factors) {
      bytes += Aligned(static_cast<size_t>(factors.rank * shape.k) * sizeof(uint16_t)) +
               Aligned(static_cast<size_t>(factors.rank * shape.n) * sizeof(uint16_t)) +
               Aligned(static_cast<size_t>(factors.rank) * sizeof(float));
    }
  }
  return bytes;
}

std::unique_ptr<Linear> MakeQuantLinear(const std::vector<QuantSource>& sources,
                                        std::byte* memory) {
  CAIRN_CHECK(QuantLinearBytes(sources) > 0);
  return std::make_unique<QuantLinear>(sources, memory);
}

}  // namespace cairn
