#include "engine/engine.h"

#include "engine/stored_shape.h"
#include "kernels/cuda/attention.h"
#include "storage/access_trace.h"

namespace cairn {

Result<std::unique_ptr<Engine>> Engine::Open(std::unique_ptr<ColdStore> cold,
                                             const EngineOptions& options) {
  std::unique_ptr<Device> device;
  if (options.device.has_value()) {
    CAIRN_TRY(device, Device::Open(*options.device));
  }
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, options.read_only));
  std::unique_ptr<Engine> engine(new Engine(std::move(cold), std::move(catalog), options));
  engine->device_ = std::move(device);
  return engine;
}

void Engine::TellTrace(const SessionRecord& record) {
  if (options_.trace == nullptr) return;
  options_.trace->AddSource({.store = cold_->Stats().identity, .session = record.id});
}

Status Engine::OpenTiers(const SessionShape& shape, const SessionOptions& options) {
  CAIRN_TRY(shape.Validate());
  CAIRN_TRY(options.Validate(shape));
  const size_t payload_bytes = shape.block.payload_bytes();
  const size_t pinned_blocks = StepAttention::MostBlocksPerFetch(shape, options);
  if (tiers_ != nullptr && payload_bytes == tier_options_.payload_bytes) {
    TieredStoreOptions wanted = tier_options_;
    wanted.min_pinned_blocks = pinned_blocks;
    return wanted.Validate();
  }
  if (open_sessions_ > 0) {
    return Fail(Errc::kMismatch,
                "the sessions that are open here have blocks of {} bytes and this one of {}; close "
                "them first",
                tier_options_.payload_bytes, payload_bytes);
  }
  tiers_.reset();  // before others are made: there may not be memory for both
  TieredStoreOptions tier_options;
  tier_options.payload_bytes = payload_bytes;
  tier_options.host_bytes = options_.host_bytes;
  tier_options.compute_bytes = options_.compute_bytes;
  if (device_ != nullptr) {
    CAIRN_TRY(cuda::CheckShape(shape.block));
    tier_options.device = device_.get();
    if (tier_options.compute_bytes == 0) {
      CAIRN_TRY(const uint64_t free_bytes, device_->FreeBytes());
      tier_options.compute_bytes = free_bytes / 2;
    }
  }
  tier_options.read_ahead = options_.read_ahead;
  tier_options.trace = options_.trace;
  tier_options.timeline = options_.timeline;
  tier_options.min_pinned_blocks = pinned_blocks;
  CAIRN_TRY(tiers_, TieredStore::Open(tier_options, *cold_));
  tier_options_ = tier_options;
  return Ok();
}

Result<std::unique_ptr<Session>> Engine::CreateSession(const std::string& name,
                                                       const SessionShape& shape,
                                                       const SessionOptions& options,
                                                       const std::string& properties) {
  CAIRN_TRY(OpenTiers(shape, options));
  CAIRN_TRY(auto record,
            catalog_.Create(name, ToJson({DescribeShape(shape), std::string(), properties})));
  TellTrace(record);
  return Session::Load(shape, options, *tiers_, catalog_, steps_, open_sessions_,
                       std::move(record));
}

Result<std::unique_ptr<Session>> Engine::OpenSession(const std::string& name,
                                                     const SessionShape& shape,
                                                     const SessionOptions& options) {
  CAIRN_TRY(auto record, catalog_.Find(name));
  CAIRN_TRY(OpenTiers(shape, options));
  TellTrace(record);
  return Session::Load(shape, options, *tiers_, catalog_, steps_, open_sessions_,
                       std::move(record));
}

Result<std::unique_ptr<Session>> Engine::OpenSessionAt(const SessionRecord& last,
                                                       const ForkPoint& start,
                                                       const SessionShape& shape,
                                                       const SessionOptions& options) {
  SessionRecord record = CutAt(last, start);
  CAIRN_TRY(auto tokens, catalog_.ReadTokens(record));
  CAIRN_TRY(OpenTiers(shape, options));
  TellTrace(record);
  CAIRN_TRY(auto session, Session::Load(shape, options, *tiers_, catalog_, steps_, open_sessions_,
                                        std::move(record)));
  session->ReplaceLastCommit(std::move(tokens));
  return session;
}

}  // namespace cairn
