#include "bench/ladder_cases.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "bench/ladder_steps.h"
#include "bench/ladder_tiers.h"
#include "bench/raw_peer.h"

namespace cairn {
namespace {

constexpr uint64_t kRedisBytes = 48 * kMiB;             // of each size
constexpr int64_t kSearchedBlocks[] = {2'064, 15'873};  // of 130,000 and of 1,000,000 tokens
constexpr HitMix kMixes[] = {{100, 0, 0},  {75, 25, 0},  {50, 50, 0}, {0, 100, 0},
                             {50, 25, 25}, {25, 25, 50}, {0, 50, 50}, {0, 0, 100}};

}  // namespace

LadderKey LadderCases::Key(const char* tier, const char* step, const Shape& shape,
                           std::string variant) {
  LadderKey key;
  key.tier = tier;
  key.step = step;
  key.block_bytes = shape.block_bytes;
  key.batch = shape.batch;
  key.readers = shape.readers;
  key.variant = std::move(variant);
  return key;
}

bool LadderCases::Fits(const Shape& shape) const {
  const uint64_t in_flight = uint64_t{shape.batch} * static_cast<uint64_t>(shape.readers);
  return 6 * in_flight * shape.block_bytes <= options_.store_bytes;
}

std::vector<LadderCases::Shape> LadderCases::Shapes(int most_readers) const {
  const Shape base{options_.base_block_bytes(), options_.base_batch(), options_.base_readers()};
  std::vector<Shape> shapes;
  for (const uint64_t block_bytes : options_.block_bytes) {
    for (const uint32_t batch : options_.batches) {
      for (const int readers : options_.readers) {
        const int off =
            (block_bytes != base.block_bytes) + (batch != base.batch) + (readers != base.readers);
        const Shape shape{block_bytes, batch, readers};
        if ((off > 1 && !options_.full) || readers > most_readers || !Fits(shape)) continue;
        shapes.push_back(shape);
      }
    }
  }
  return shapes;
}

void LadderCases::ListTiers() {
  const bool device = options_.device != nullptr;
  const std::string absent = "no --device was named";
  tiers_ = {{"VRAM", device, device ? options_.device->model() + ": found there" : absent},
            {"pinned host", device, device ? "fetch + copy: until blocks are in VRAM" : absent},
            {"compute slab", true, "a slab of its own, as with --compute-memory"},
            {"host memory", true, "fetch: found in place; fetch + copy: into the compute slab"},
            {"page cache", true, "pread of a plain file that the page cache holds"},
            {"SSD direct", true, "past the page cache, checksums verified"}};
  for (const uint64_t block_bytes : options_.block_bytes) {
    for (const uint32_t batch : options_.batches) {
      for (const int readers : options_.readers) {
        if (Fits({block_bytes, batch, readers})) continue;
        if (!options_.full && block_bytes != options_.base_block_bytes()) continue;
        skipped_.push_back(fmt::format("{} blocks of {}, {} readers", batch,
                                       FormatByteSize(block_bytes), readers));
      }
    }
  }
}

Status LadderCases::AddTiers() {
  for (const Shape& shape : Shapes(INT32_MAX)) {
    const auto store = std::ranges::find(stores_, shape.block_bytes, &LadderStore::block_bytes);
    LadderStore& blocks = **store;
    if (options_.device != nullptr) {
      cases_.push_back(
          MakeDeviceFetch(Key("VRAM", "fetch", shape), blocks, {100, 0, 0}, *options_.device));
      cases_.push_back(MakeDeviceFetch(Key("pinned host", "fetch + copy", shape), blocks,
                                       {0, 100, 0}, *options_.device));
    }
    cases_.push_back(MakeMixedFetch(Key("compute slab", "fetch", shape), blocks, {100, 0, 0}));
    cases_.push_back(MakeHostFetch(Key("host memory", "fetch", shape), blocks));
    cases_.push_back(
        MakeMixedFetch(Key("host memory", "fetch + copy", shape), blocks, {0, 100, 0}));
    cases_.push_back(MakePageCacheFetch(Key("page cache", "fetch", shape), *file_));
    cases_.push_back(MakeSsdFetch(Key("SSD direct", "fetch", shape), blocks));
  }
  return Ok();
}

Status LadderCases::AddSteps() {
  const Shape one{0, 1, 1};
  cases_.push_back(MakeRotation(Key("CPU", "query rotation", one, "30 layers")));
  for (const int64_t blocks : kSearchedBlocks) {
    LadderKey key = Key("CPU", "landmark search", one, fmt::format("{} blocks", blocks));
    CAIRN_TRY(auto search, MakeSearch(std::move(key), blocks));
    cases_.push_back(std::move(search));
  }
  for (const uint32_t batch : options_.batches) {
    cases_.push_back(MakeLookUp(Key("CPU", "table look-up", {0, batch, 1})));
  }
  for (const Shape& shape : Shapes(1)) {
    cases_.push_back(MakeChecksum(Key("CPU", "checksum", shape)));
    cases_.push_back(MakeCopy(Key("CPU", "copy", shape)));
    cases_.push_back(MakeAttention(Key("CPU", "attention", shape)));
    cases_.push_back(MakeCommit(
        Key("SSD direct", "commit", shape),
        fmt::format("{}/commit-{}-{}", options_.directory, shape.block_bytes, shape.batch)));
  }
  return Ok();
}

void LadderCases::AddMixes() {
  for (const auto& store : stores_) {
    const Shape shape{store->block_bytes(), options_.base_batch(), options_.base_readers()};
    const bool base = shape.block_bytes == options_.base_block_bytes();
    if ((!base && !options_.full) || !Fits(shape)) continue;
    for (const HitMix& mix : kMixes) {
      cases_.push_back(MakeMixedFetch(Key("mix", "fetch", shape, mix.Name()), *store, mix));
    }
    cases_.push_back(MakeZipfFetch(Key("mix", "fetch", shape, "zipf"), *store));
  }
}

Status LadderCases::AddRocks(FunctionRef<bool(const std::string&)> progress) {
  for (const uint64_t block_bytes : options_.block_bytes) {
    const auto stop = [&] {
      return progress(
          fmt::format("making a plain RocksDB with blocks of {}", FormatByteSize(block_bytes)));
    };
    CAIRN_TRY(auto peer,
              RocksPeer::Make(fmt::format("{}/rocksdb-{}", options_.directory, block_bytes),
                              block_bytes, options_.store_bytes / 2, stop));
    rocks_.push_back(std::move(peer));
    for (const Shape& shape : Shapes(INT32_MAX)) {
      const uint64_t in_flight = uint64_t{shape.batch} * static_cast<uint64_t>(shape.readers);
      if (shape.block_bytes != block_bytes || 2 * in_flight > rocks_.back()->blocks()) continue;
      for (const bool cold : {true, false}) {
        LadderKey key = Key("RocksDB MultiGet", "fetch", shape, cold ? "cold" : "page cache");
        cases_.push_back(rocks_.back()->MakeCase(std::move(key), cold));
      }
    }
  }
  peers_.push_back({"RocksDB MultiGet", true, "default options, so through the page cache"});
  return Ok();
}

Status LadderCases::AddRedis() {
  auto started = RedisPeer::Start(options_.directory);
  if (!started) {
    peers_.push_back({"Redis", false, started.error().message});
    return Ok();
  }
  redis_ = std::move(started).value();
  const uint64_t bytes = std::min(kRedisBytes, options_.store_bytes);
  for (const uint64_t block_bytes : options_.block_bytes) {
    const auto blocks = static_cast<uint32_t>(bytes / block_bytes);
    CAIRN_TRY(redis_->Fill(block_bytes, blocks));
    for (const Shape& shape : Shapes(INT32_MAX)) {
      const uint64_t in_flight = uint64_t{shape.batch} * static_cast<uint64_t>(shape.readers);
      if (shape.block_bytes != block_bytes || in_flight > blocks) continue;
      cases_.push_back(redis_->MakeCase(Key("Redis", "fetch", shape), blocks));
    }
  }
  peers_.push_back({"Redis", true, "MGET over TCP on the loopback interface, values in memory"});
  return Ok();
}

Status LadderCases::AddLmcache(FunctionRef<bool(const std::string&)> progress) {
  const auto absent = [&](const Error& error) {
    lmcache_.reset();
    peers_.push_back({"LMCache", false, error.message});
    return Ok();
  };
  auto started = LmcachePeer::Start(options_.directory);
  if (!started) return absent(started.error());
  lmcache_ = std::move(started).value();
  std::vector<std::unique_ptr<LadderCase>> cases;
  for (const uint64_t block_bytes : options_.block_bytes) {
    if (progress(fmt::format("filling LMCache with blocks of {}", FormatByteSize(block_bytes)))) {
      return Fail(Errc::kInterrupted, "stopped; what the ladder had made is removed");
    }
    const auto blocks = static_cast<uint32_t>(
        std::min<uint64_t>(LmcachePeer::kMostBlocks, options_.store_bytes / block_bytes));
    const Status filled = lmcache_->Fill(block_bytes, blocks);
    if (!filled) return absent(filled.error());
    for (const Shape& shape : Shapes(1)) {
      if (shape.block_bytes != block_bytes || shape.batch > blocks) continue;
      for (const bool direct : {true, false}) {
        LadderKey key = Key("LMCache", "fetch", shape, direct ? "direct" : "page cache");
        cases.push_back(lmcache_->MakeCase(std::move(key), blocks, direct));
      }
    }
  }
  std::ranges::move(cases, std::back_inserter(cases_));
  peers_.push_back({"LMCache", true,
                    fmt::format("{}, local disk back end in a Python process, one reader",
                                lmcache_->version())});
  return Ok();
}

Status LadderCases::AddPeers(FunctionRef<bool(const std::string&)> progress) {
  for (const Shape& shape : Shapes(INT32_MAX)) {
    cases_.push_back(MakeRawFetch(Key("raw device", "fetch", shape), *file_));
  }
  peers_.push_back({"raw device", true, "a plain file, read by the same reader as the store's"});
  CAIRN_TRY(AddRocks(progress));
  CAIRN_TRY(AddLmcache(progress));
  return AddRedis();
}

Result<LadderCases> LadderCases::Make(const LadderOptions& options,
                                      FunctionRef<bool(const std::string&)> progress) {
  LadderCases cases(options);
  cases.ListTiers();
  const auto stop_file = [&] { return progress("writing a plain file"); };
  CAIRN_TRY(cases.file_, LadderFile::Make(options.directory, 2 * options.store_bytes, stop_file));
  for (const uint64_t block_bytes : options.block_bytes) {
    const auto stop = [&] {
      return progress(fmt::format("making a store with blocks of {}", FormatByteSize(block_bytes)));
    };
    CAIRN_TRY(auto store,
              LadderStore::Make(fmt::format("{}/store-{}", options.directory, block_bytes),
                                block_bytes, options.store_bytes, stop));
    cases.stores_.push_back(std::move(store));
  }
  CAIRN_TRY(cases.AddTiers());
  CAIRN_TRY(cases.AddSteps());
  cases.AddMixes();
  if (options.peers) CAIRN_TRY(cases.AddPeers(progress));
  return cases;
}

}  // namespace cairn
