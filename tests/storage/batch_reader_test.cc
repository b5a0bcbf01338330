#include "storage/batch_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <mutex>

#include "store_fixture.h"

namespace cairn {
namespace {

/// A file of random bytes, open past the page cache where that is possible.
class RandomFile {
 public:
  RandomFile(const std::string& path, size_t bytes, std::mt19937_64& random) : bytes_(bytes) {
    for (std::byte& byte : bytes_) byte = static_cast<std::byte>(random());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes_.data()), static_cast<std::streamsize>(bytes));
    fd_ = open(path.c_str(), O_RDONLY | O_DIRECT);
    if (fd_ < 0) fd_ = open(path.c_str(), O_RDONLY);
  }
  ~RandomFile() { close(fd_); }
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  int fd() const { return fd_; }
  uint32_t size() const { return static_cast<uint32_t>(bytes_.size()); }
  bool Equal(const FilePlace& place, std::span<const std::byte> read) const {
    return read.size() == place.bytes &&
           std::memcmp(read.data(), bytes_.data() + place.offset, read.size()) == 0;
  }

 private:
  std::vector<std::byte> bytes_;
  int fd_ = -1;
};

class BatchReaderTest : public testing::TestWithParam<BatchReader::Method> {
 protected:
  /// What of each place was read: 1 all of it, 0 nothing, -1 something else, -2 not told.
  std::vector<int> Read(const RandomFile& file, const std::vector<FilePlace>& places) {
    std::vector<int> outcomes(places.size(), -2);
    std::mutex mutex;
    reader_.Read(places, [&](size_t i, std::span<const std::byte> read) {
      const std::lock_guard lock(mutex);
      EXPECT_EQ(outcomes[i], -2) << "told twice";
      outcomes[i] = read.empty() ? 0 : file.Equal(places[i], read) ? 1 : -1;
    });
    return outcomes;
  }

  TempDirectory directory_;
  WorkerPool workers_{3};
  BatchReader reader_{GetParam(), workers_};
};

TEST_P(BatchReaderTest, ReadsPlacesOfAnyAlignmentAndSize) {
  std::mt19937_64 random = SeededRandom();
  const RandomFile file(directory_.path() + "/file", 3'000'000, random);
  for (const uint32_t most_bytes : {1u, 700u, 40'000u, 2'000'000u}) {
    std::vector<FilePlace> places;
    for (int i = 0; i < 400; ++i) {
      const uint32_t bytes = 1 + Pick(random, most_bytes);
      places.push_back({file.fd(), Pick(random, file.size() - bytes + 1), bytes});
    }
    EXPECT_EQ(Read(file, places), std::vector<int>(places.size(), 1)) << most_bytes;
  }
  EXPECT_TRUE(Read(file, {}).empty());
}

TEST_P(BatchReaderTest, WhatCannotBeReadIsTold) {
  std::mt19937_64 random = SeededRandom();
  const RandomFile file(directory_.path() + "/file", 10'000, random);
  const int no_reads = open((directory_.path() + "/other").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_GE(no_reads, 0);
  std::vector<FilePlace> places;
  std::vector<int> expected;
  for (int i = 0; i < 200; ++i) {
    places.push_back({file.fd(), 100, 9'900});  // to its very end
    places.push_back({file.fd(), 101, 9'900});  // one byte too far
    places.push_back({file.fd(), 20'480, 10});  // far behind its end
    places.push_back({no_reads, 0, 10});        // an error
    expected.insert(expected.end(), {1, 0, 0, 0});
  }
  EXPECT_EQ(Read(file, places), expected);
  EXPECT_EQ(Read(file, {{file.fd(), 0, 10}}), std::vector<int>{1});  // and works afterwards
  close(no_reads);
}

TEST_P(BatchReaderTest, ServesSeveralThreadsAtOnce) {
  std::mt19937_64 random = SeededRandom();
  const RandomFile file(directory_.path() + "/file", 1'000'000, random);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, seed = random()] {
      std::mt19937_64 own(seed);
      for (int round = 0; round < 20; ++round) {
        std::vector<FilePlace> places;
        for (int i = 0; i < 64; ++i) places.push_back({file.fd(), Pick(own, 990'000), 9'000});
        for (const int outcome : Read(file, places)) wrong += outcome == 1 ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Methods, BatchReaderTest,
                         testing::Values(BatchReader::Method::kRing, BatchReader::Method::kThreads),
                         [](const auto& info) {
                           return info.param == BatchReader::Method::kRing ? "Ring" : "Threads";
                         });

}  // namespace
}  // namespace cairn
