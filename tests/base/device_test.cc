// What a device promises, whether a GPU or the stand-in of tests/support/cuda_on_cpu.
#include "base/device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace cairn {
namespace {

constexpr size_t kBytes = 1000;

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Device::Count() == 0) GTEST_SKIP() << "no GPU here";
    device_ = Device::Open(0).value();
    stream_ = device_->MakeStream().value();
    other_ = device_->MakeStream().value();
    on_device_ = device_->Allocate(kBytes).value();
    pinned_ = device_->AllocatePinned(kBytes).value();
    back_ = device_->AllocatePinned(kBytes).value();
    Fill(1);
  }
  void Fill(int with) { std::memset(pinned_.data(), with, kBytes); }
  bool BackIs(int with) const {
    const std::vector<std::byte> expected(kBytes, static_cast<std::byte>(with));
    return std::memcmp(back_.data(), expected.data(), kBytes) == 0;
  }

  std::unique_ptr<Device> device_;
  DeviceStream stream_, other_;
  DeviceBuffer on_device_;
  PinnedBuffer pinned_, back_;
};

TEST_F(DeviceTest, SaysWhatItIs) {
  EXPECT_EQ(device_->Name(), "cuda:0");
  EXPECT_FALSE(device_->model().empty());
  EXPECT_GT(device_->multiprocessors(), 0);
  EXPECT_GT(device_->FreeBytes().value(), kBytes);
}

TEST_F(DeviceTest, BytesGoThereAndBack) {
  ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
  ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), kBytes));
  ASSERT_TRUE(stream_.Wait());
  EXPECT_TRUE(BackIs(1));
  const DeviceCounts counts = device_->Counts();
  EXPECT_EQ(counts.copies, 2u);
  EXPECT_EQ(counts.bytes_to_device, kBytes);
  EXPECT_EQ(counts.bytes_to_host, kBytes);
  EXPECT_EQ(counts.waits, 1u);
}

TEST_F(DeviceTest, StreamsAreOrderedByEvents) {
  for (int i = 0; i < 50; ++i) {
    DeviceEvent copied = device_->MakeEvent().value();
    EXPECT_TRUE(copied.Passed().value());
    Fill(i);
    ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
    ASSERT_TRUE(stream_.Record(copied));
    ASSERT_TRUE(other_.WaitFor(copied));
    ASSERT_TRUE(other_.CopyToHost(back_.data(), on_device_.data(), kBytes));
    ASSERT_TRUE(other_.Wait());
    EXPECT_TRUE(BackIs(i));
    EXPECT_TRUE(copied.Passed().value());
  }
  EXPECT_EQ(device_->Counts().waits, 50u);
}

TEST_F(DeviceTest, AnEventIsWaitedForAlone) {
  DeviceEvent copied = device_->MakeEvent().value();
  ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
  ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), kBytes));
  ASSERT_TRUE(stream_.Record(copied));
  ASSERT_TRUE(copied.Wait());
  EXPECT_TRUE(BackIs(1));
}

TEST_F(DeviceTest, TimedEventsSayHowLongItTook) {
  DeviceEvent plain = device_->MakeEvent().value();
  DeviceEvent from = device_->MakeTimedEvent().value();
  DeviceEvent to = device_->MakeTimedEvent().value();
  EXPECT_FALSE(to.SecondsSince(from).has_value()) << "neither was recorded";
  ASSERT_TRUE(stream_.Record(plain));
  ASSERT_TRUE(stream_.Record(from));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream_.Fill(on_device_.data(), 1, kBytes));
  ASSERT_TRUE(stream_.Record(to));
  ASSERT_TRUE(to.Wait());
  const double seconds = to.SecondsSince(from).value();
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, 60);
  const auto untimed = to.SecondsSince(plain);
  ASSERT_FALSE(untimed.has_value());
  EXPECT_EQ(untimed.error().code, Errc::kIo);
  ASSERT_TRUE(stream_.Wait()) << "what was asked in vain breaks nothing";
}

TEST_F(DeviceTest, ABatchIsOneCopy) {
  constexpr size_t kPieces = 40, kPiece = 16;
  std::iota(reinterpret_cast<uint8_t*>(pinned_.data()),
            reinterpret_cast<uint8_t*>(pinned_.data()) + kBytes, uint8_t{0});
  std::vector<std::byte*> targets;
  std::vector<const std::byte*> sources;
  for (size_t i = 0; i < kPieces; ++i) {
    targets.push_back(on_device_.data() + i * kPiece);
    sources.push_back(pinned_.data() + (kPieces - 1 - i) * kPiece);
  }
  ASSERT_TRUE(stream_.CopyBatchToDevice(targets, sources, kPiece));
  ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), kPieces * kPiece));
  ASSERT_TRUE(stream_.Wait());
  for (size_t i = 0; i < kPieces; ++i) {
    EXPECT_EQ(std::memcmp(back_.data() + i * kPiece, sources[i], kPiece), 0) << i;
  }
  const DeviceCounts counts = device_->Counts();
  EXPECT_EQ(counts.copies, 2u);
  EXPECT_EQ(counts.batched_blocks, kPieces);
  ASSERT_TRUE(stream_.CopyBatchToDevice({}, {}, kPiece));
  EXPECT_EQ(device_->Counts().copies, 2u);
}

TEST_F(DeviceTest, AGraphRunsAgainOnWhatIsThereThen) {
  ASSERT_TRUE(stream_.BeginCapture());
  ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
  ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), kBytes));
  auto graph = stream_.EndCapture();
  ASSERT_TRUE(graph.has_value()) << graph.error().message;
  EXPECT_EQ(device_->Counts().copies, 0u);
  for (int with = 2; with < 5; ++with) {
    Fill(with);
    ASSERT_TRUE(stream_.Run(graph.value()));
    ASSERT_TRUE(stream_.Wait());
    EXPECT_TRUE(BackIs(with));
  }
  const DeviceCounts counts = device_->Counts();
  EXPECT_EQ(counts.launches, 3u);
  EXPECT_EQ(counts.copies, 6u);
  EXPECT_EQ(counts.bytes_to_host, 3 * kBytes);
}

TEST_F(DeviceTest, FilledMemoryComesBackInPieces) {
  ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
  ASSERT_TRUE(stream_.Fill(on_device_.data() + 100, 7, 10));
  std::memset(back_.data(), 0, kBytes);
  ASSERT_TRUE(stream_.CopyPiecesToHost(back_.data(), on_device_.data() + 96, {8, 3, 20, 10}));
  ASSERT_TRUE(stream_.Wait());
  std::vector<uint8_t> expected(kBytes);
  const uint8_t pieces[3][8] = {
      {1, 1, 1, 1, 7, 7, 7, 7}, {7, 7, 7, 7, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}};
  for (int i = 0; i < 3; ++i) std::memcpy(expected.data() + 20 * i, pieces[i], 8);
  EXPECT_EQ(std::memcmp(back_.data(), expected.data(), kBytes), 0);
}

// CUDA takes no distance of 2 GiB for pieces of one copy.
TEST_F(DeviceTest, PiecesMayLieFarApart) {
  constexpr size_t kMost = (size_t{1} << 31) - 1, kPiece = 16;
  uint64_t copies = 0;
  for (const size_t apart : {kMost, kMost + 1}) {
    const PinnedBuffer far = device_->AllocatePinned(apart + kPiece).value();
    Fill(1);
    ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
    ASSERT_TRUE(stream_.Fill(on_device_.data() + kPiece, 5, kPiece));
    ASSERT_TRUE(
        stream_.CopyPiecesToHost(far.data(), on_device_.data(), {kPiece, 2, apart, kPiece}));
    ASSERT_TRUE(stream_.Fill(on_device_.data(), 0, kBytes));
    ASSERT_TRUE(
        stream_.CopyPiecesToDevice(on_device_.data(), far.data(), {kPiece, 2, kPiece, apart}));
    ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), kBytes));
    ASSERT_TRUE(stream_.Wait());
    for (size_t i = 0; i < 3 * kPiece; ++i) {
      EXPECT_EQ(back_.data()[i], std::byte(i < kPiece ? 1 : i < 2 * kPiece ? 5 : 0)) << i;
    }
    copies += apart > kMost ? 6 : 4;
    EXPECT_EQ(device_->Counts().copies, copies);
  }
}

TEST_F(DeviceTest, ADeviceThatIsNotThereIsNamed) {
  const auto device = Device::Open(Device::Count());
  ASSERT_FALSE(device.has_value());
  EXPECT_EQ(device.error().code, Errc::kNotFound);
  EXPECT_NE(device.error().message.find("cuda:"), std::string::npos);
}

}  // namespace
}  // namespace cairn
