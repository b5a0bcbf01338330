// Sessions of one engine on one device, each with a thread of its own.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "tests/engine/device_crowd.h"
#include "tests/engine/device_steps.h"

namespace cairn {
namespace {

using test::DeviceSteps;
using test::Problem;
using test::Trace;

constexpr int64_t kPast = 160, kEnd = 168;

class Reader {
 public:
  Reader(const SessionShape& shape, uint64_t stream)
      : problem_(shape, kEnd, stream), trace_(problem_), steps_(problem_) {}

  const Trace& trace() const { return trace_; }

  Status ReadPast(Engine& engine, const std::string& name, const SessionOptions& options) {
    CAIRN_TRY(session_, engine.CreateSession(name, problem_.shape, options, "{}"));
    SessionOptions little = options;  // it is not what this is about
    little.retrieve = 1;
    CAIRN_TRY(session_->SetOptions(little));
    CAIRN_TRY(RunSteps(*session_, problem_, kPast, 20, &trace_));
    return session_->SetOptions(options);
  }
  Status DecodeOnHost() { return RunSteps(*session_, problem_, kEnd, 1, &trace_); }
  // A step that finds all blocks in use fails, and is made again.
  Status DecodeOnDevice(std::mutex& ending) {
    while (session_->rows() < kEnd) {
      const Status done = steps_.RunStep(*session_, 1, &trace_, &ending);
      if (!done && done.error().code != Errc::kResource) return done;
      std::this_thread::yield();
    }
    return Ok();
  }

 private:
  const Problem problem_;
  Trace trace_;
  DeviceSteps steps_;
  std::unique_ptr<Session> session_;
};

// Each wants nearly all of the tier: of its 512 blocks 96 a layer, of 640 that it has.
TEST(DeviceStepThreads, EachComesToWhatItComesToAlone) {
  const test::Crowded crowded(AttentionMode::kUnmodified);
  const SessionShape& shape = crowded.shape;
  const SessionOptions& options = crowded.options;
  Reader readers[] = {Reader(shape, 91), Reader(shape, 92)};
  ASSERT_GOOD(readers[0].ReadPast(*crowded.engine, "a", options));
  ASSERT_GOOD(readers[1].ReadPast(*crowded.engine, "b", options));
  std::mutex ending;
  Status done[] = {Ok(), Ok()};
  std::thread other([&] { done[1] = readers[1].DecodeOnDevice(ending); });
  done[0] = readers[0].DecodeOnDevice(ending);
  other.join();
  for (int i = 0; i < 2; ++i) {
    ASSERT_GOOD(done[i]);
    auto alone = test::MemoryEngine();
    Reader reader(shape, 91 + static_cast<uint64_t>(i));
    ASSERT_GOOD(reader.ReadPast(*alone, "s", options));
    ASSERT_GOOD(reader.DecodeOnHost());
    const std::vector<float>& o = reader.trace().o;
    test::ExpectNear(readers[i].trace().o, {o.begin(), o.end()}, 1e-5);
  }
}

}  // namespace
}  // namespace cairn
