// A product on a device beside plain loops, for tests of DeviceMatmul.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/device.h"
#include "base/device_matmul.h"
#include "tests/support/random.h"

namespace cairn {

/// x [rows, k] and weights [n, k] of a type, on the device, each a little behind its buffer's
/// beginning; and y, with a float behind it that must stay.
class DeviceProduct {
 public:
  DeviceProduct(Device& device, DType type, int64_t n, int64_t k, int64_t rows, uint64_t seed)
      : type_(type), n_(n), k_(k), rows_(rows) {
    TestRandom random(seed);
    stream_ = device.MakeStream().value();
    weights_ = Numbers(device, static_cast<size_t>(n * k), random, &weights_floats_);
    x_ = Numbers(device, static_cast<size_t>(rows * k), random, &x_floats_);
    const size_t y_bytes = (static_cast<size_t>(rows * n) + 1) * sizeof(float);
    y_ = device.Allocate(kOffset + y_bytes).value();
    back_ = device.AllocatePinned(y_bytes).value();
    std::memset(back_.data(), kUntouched, y_bytes);
    CheckDone(stream_.CopyToDevice(y_.data() + kOffset, back_.data(), y_bytes));
    CheckDone(stream_.Wait());
  }

  Status Multiply(DeviceMatmul& matmul) {
    return matmul.Multiply(type_, weights_.data() + kOffset, n_, k_, x_.data() + kOffset, rows_,
                           reinterpret_cast<float*>(y_.data() + kOffset), stream_);
  }
  Status Wait() { return stream_.Wait(); }

  /// The result, waited for.
  std::vector<float> Result() {
    CheckDone(stream_.CopyToHost(back_.data(), y_.data() + kOffset, back_.bytes()));
    CheckDone(stream_.Wait());
    std::vector<float> y(static_cast<size_t>(rows_ * n_) + 1);
    std::memcpy(y.data(), back_.data(), back_.bytes());
    uint32_t behind;
    std::memcpy(&behind, &y.back(), sizeof(behind));
    CAIRN_CHECK(behind == kUntouched * 0x01010101u);
    y.pop_back();
    return y;
  }

  /// The largest error of `y` in shares of the sum of its products' sizes.
  double WorstError(const std::vector<float>& y) const {
    double worst = 0;
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < n_; ++j) {
        double sum = 0, size = 1e-30;
        for (int64_t c = 0; c < k_; ++c) {
          const double product = double{x_floats_[static_cast<size_t>(i * k_ + c)]} *
                                 weights_floats_[static_cast<size_t>(j * k_ + c)];
          sum += product;
          size += std::abs(product);
        }
        const double error = std::abs(y[static_cast<size_t>(i * n_ + j)] - sum) / size;
        worst = error <= worst ? worst : error;  // NaN is worse
      }
    }
    return worst;
  }

 private:
  static constexpr size_t kOffset = DeviceMatmul::kAlignmentBytes;
  static constexpr uint32_t kUntouched = 0x42;

  static void CheckDone(const Status& status) { CAIRN_CHECK(status.has_value()); }

  DeviceBuffer Numbers(Device& device, size_t count, TestRandom& random,
                       std::vector<float>* floats) {
    *floats = random.Normals(count);
    const size_t bytes = count * DTypeBytes(type_);
    const PinnedBuffer pinned = device.AllocatePinned(bytes).value();
    ConvertFromFloat(type_, floats->data(), pinned.data(), count);
    ConvertToFloat(type_, pinned.data(), floats->data(), count);
    DeviceBuffer buffer = device.Allocate(kOffset + bytes).value();
    CheckDone(stream_.CopyToDevice(buffer.data() + kOffset, pinned.data(), bytes));
    CheckDone(stream_.Wait());
    return buffer;
  }

  DType type_;
  int64_t n_, k_, rows_;
  std::vector<float> weights_floats_, x_floats_;
  DeviceBuffer weights_, x_, y_;
  PinnedBuffer back_;
  DeviceStream stream_;
};

}  // namespace cairn
