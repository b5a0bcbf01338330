#include "model/linear.h"

#include <algorithm>
#include <vector>

#include "base/matmul.h"
#include "base/parallel.h"

namespace cairn {
namespace {

class ReferenceLinear : public Linear {
 public:
  ReferenceLinear(const float* weights, int64_t n, int64_t k)
      : weights_(weights, weights + n * k), n_(n), k_(k) {}

  void Apply(const float* x, int64_t rows, float* y) const override {
    ParallelFor(rows, [&](int64_t row) {
      for (int64_t i = 0; i < n_; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < k_; ++j) {
          sum += static_cast<double>(x[row * k_ + j]) * weights_[i * k_ + j];
        }
        y[row * n_ + i] = static_cast<float>(sum);
      }
    });
  }
  int64_t n() const override { return n_; }
  int64_t k() const override { return k_; }
  uint64_t bytes() const override { return weights_.size() * sizeof(float); }

 private:
  std::vector<float> weights_;
  int64_t n_;
  int64_t k_;
};

// Few rows are split by output columns (each core reads its own slice of the weights, which is
// what a decode step waits for), many rows by rows.
class OneDnnLinear : public Linear {
 public:
  OneDnnLinear(DType type, const float* weights, int64_t n, int64_t k) : type_(type), n_(n), k_(k) {
    const int64_t per_core = (n + Threads() - 1) / Threads();
    const int64_t width = std::max<int64_t>(kGrain, (per_core + kGrain - 1) / kGrain * kGrain);
    for (int64_t begin = 0; begin < n; begin += width) {
      slices_.push_back(
          PackedMatrix::Pack(type, weights + begin * k, std::min(width, n - begin), k));
      begins_.push_back(begin);
    }
  }

  void Apply(const float* x, int64_t rows, float* y) const override {
    const void* input = x;
    if (type_ != DType::kF32) {
      converted_.resize(static_cast<size_t>(rows * k_));
      ConvertFromFloat(type_, x, converted_.data(), converted_.size());
      input = converted_.data();
    }
    const int64_t row_bytes = k_ * static_cast<int64_t>(DTypeBytes(type_));
    const auto* bytes = static_cast<const std::byte*>(input);
    if (rows < kManyRows) {
      ParallelFor(std::ssize(slices_), [&](int64_t i) { Slice(i, bytes, rows, y); });
      return;
    }
    ParallelRanges(rows, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row += kTileRows) {
        const int64_t count = std::min(kTileRows, end - row);
        for (int64_t i = 0; i < std::ssize(slices_); ++i) {
          Slice(i, bytes + row * row_bytes, count, y + row * n_);
        }
      }
    });
  }
  int64_t n() const override { return n_; }
  int64_t k() const override { return k_; }
  uint64_t bytes() const override {
    uint64_t sum = 0;
    for (const PackedMatrix& slice : slices_) sum += slice.bytes();
    return sum;
  }

 private:
  static constexpr int64_t kGrain = 64;
  static constexpr int64_t kManyRows = 32;
  static constexpr int64_t kRowGrain = 16;
  static constexpr int64_t kTileRows = 64;  // a tile of one slice's results stays in the L2 cache

  /// Columns of slice i for `rows` rows. A slice's product is dense, so several rows go by way of
  /// a tile.
  void Slice(int64_t i, const void* x, int64_t rows, float* y) const {
    const int64_t width = slices_[i].n();
    if (rows == 1 || width == n_) {
      slices_[i].Multiply(x, rows, y + begins_[i]);
      return;
    }
    thread_local std::vector<float> tile;
    if (std::ssize(tile) < rows * width) tile.resize(static_cast<size_t>(rows * width));
    slices_[i].Multiply(x, rows, tile.data());
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(tile.data() + row * width, width, y + row * n_ + begins_[i]);
    }
  }

  DType type_;
  int64_t n_;
  int64_t k_;
  std::vector<PackedMatrix> slices_;
  std::vector<int64_t> begins_;
  mutable std::vector<uint16_t> converted_;
};

}  // namespace

std::unique_ptr<Linear> MakeReferenceLinear(const float* weights, int64_t n, int64_t k) {
  return std::make_unique<ReferenceLinear>(weights, n, k);
}

std::unique_ptr<Linear> MakeOneDnnLinear(DType type, const float* weights, int64_t n, int64_t k) {
  return std::make_unique<OneDnnLinear>(type, weights, n, k);
}

}  // namespace cairn
