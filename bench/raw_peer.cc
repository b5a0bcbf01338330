#include "bench/raw_peer.h"

#include <atomic>
#include <utility>
#include <vector>

#include "storage/batch_reader.h"

namespace cairn {
namespace {

constexpr int kWorkers = 15;  // where the system has no io_uring; as many as the store has

class RawFetch final : public LadderCase {
 public:
  RawFetch(LadderKey key, const LadderFile& file)
      : LadderCase(key, key.batch * key.block_bytes, true),
        file_(file),
        walk_(Order(key, file), key.readers) {}

  Status Prepare() override {
    workers_ = std::make_unique<WorkerPool>(kWorkers);
    reader_ = std::make_unique<BatchReader>(BatchReader::Method::kRing, *workers_);
    for (int i = 0; i < key().readers; ++i) CAIRN_TRY(Run(i, 1));
    return Ok();
  }

  Status Run(int reader, uint64_t count) override {
    const auto bytes = static_cast<uint32_t>(key().block_bytes);
    for (; count > 0; --count) {
      std::vector<FilePlace> places;
      for (const uint32_t block : walk_.Next(reader, key().batch)) {
        places.push_back({file_.direct_fd(), uint64_t{block} * bytes, bytes});
      }
      std::atomic<bool> failed = false;
      reader_->Read(places, [&](size_t, std::span<const std::byte> read) {
        if (read.empty()) failed = true;
      });
      if (failed) return Fail(Errc::kIo, "cannot read {}; check the disk", file_.path());
    }
    return Ok();
  }

  void Finish() override {
    reader_.reset();
    workers_.reset();
  }

 private:
  static std::vector<uint32_t> Order(const LadderKey& key, const LadderFile& file) {
    return ShuffledOrder(static_cast<uint32_t>(file.bytes() / key.block_bytes), 13);
  }

  const LadderFile& file_;
  Walk<uint32_t> walk_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<BatchReader> reader_;
};

}  // namespace

std::unique_ptr<LadderCase> MakeRawFetch(LadderKey key, const LadderFile& file) {
  return std::make_unique<RawFetch>(std::move(key), file);
}

}  // namespace cairn
