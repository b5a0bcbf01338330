#include "tests/torture/soak_run.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/scratch_directory.h"
#include "tests/support/session_crowd.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kThreads = 2;
constexpr int kOperations = 400;  // of a thread, then the store is opened anew
constexpr double kMiB = 1 << 20;

struct Sample {
  double seconds = 0;
  double rss = 0;
  double files = 0;
  double disk = 0;
  uint64_t store_files = 0;
  CrowdLatencies latencies{};
};

double ResidentMiB() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / kMiB;
}

double OpenFiles() {
  return static_cast<double>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

/// Adds up a directory whose files come and go, and have holes.
void MeasureStore(const std::string& path, Sample& sample) {
  std::error_code gone;
  for (fs::recursive_directory_iterator entry(path, gone), end; !gone && entry != end;
       entry.increment(gone)) {
    std::error_code error;
    if (!entry->is_regular_file(error)) continue;
    struct stat info {};
    if (stat(entry->path().c_str(), &info) != 0) continue;
    constexpr off_t kStatBlockBytes = 512;
    const off_t bytes = std::min<off_t>(info.st_size, info.st_blocks * kStatBlockBytes);
    sample.disk += static_cast<double>(bytes) / kMiB;
    ++sample.store_files;
  }
}

/// Takes samples in a thread of its own until it goes.
class Sampler {
 public:
  Sampler(SessionCrowd& crowd, std::string store, double every_seconds)
      : crowd_(crowd), store_(std::move(store)), every_seconds_(every_seconds) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }
  std::vector<Sample> Finish() {
    thread_.request_stop();
    thread_.join();
    return std::move(samples_);
  }

 private:
  void Run(const std::stop_token& stop) {
    const auto start = Clock::now();
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    const std::chrono::duration<double> every(every_seconds_);
    while (!stop.stop_requested()) {
      never.wait_for(lock, stop, every, [] { return false; });
      Sample sample{.seconds = std::chrono::duration<double>(Clock::now() - start).count(),
                    .rss = ResidentMiB(),
                    .files = OpenFiles(),
                    .latencies = crowd_.TakeLatencies()};
      MeasureStore(store_, sample);
      samples_.push_back(sample);
    }
  }

  SessionCrowd& crowd_;
  const std::string store_;
  const double every_seconds_;
  std::vector<Sample> samples_;
  std::jthread thread_;
};

Status WriteCsv(const std::string& path, const std::vector<Sample>& samples) {
  if (path.empty()) return Ok();
  std::ofstream file(path);
  file << "seconds,rss_mib,open_files,store_mib,store_files";
  for (const char* what : {"step", "commit", "open", "check"}) {
    file << ',' << what << "_p50_us," << what << "_p99_us";
  }
  file << '\n';
  for (const Sample& sample : samples) {
    file << sample.seconds << ',' << sample.rss << ',' << sample.files << ',' << sample.disk << ','
         << sample.store_files;
    for (const LatencyHistogram& latency : sample.latencies.of) {
      for (const double q : {0.5, 0.99}) {
        file << ',';
        if (latency.count() > 0) file << static_cast<double>(latency.Percentile(q)) / 1000;
      }
    }
    file << '\n';
  }
  file.close();
  return file ? Ok() : Status(Fail(Errc::kIo, "cannot write {}", path));
}

double Median(const std::vector<Sample>& samples, size_t fifth, double Sample::*what) {
  std::vector<double> values;
  for (size_t i = samples.size() * fifth / 5; i < samples.size() * (fifth + 1) / 5; ++i) {
    values.push_back(samples[i].*what);
  }
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

Status Soak(const SoakOptions& options, SoakSummary* summary) {
  const ScratchDirectory directory;
  SessionCrowd crowd(directory.File("store"), options.seed);
  Sampler sampler(crowd, directory.File("store"), options.sample_seconds);
  const auto end = Clock::now() + std::chrono::duration<double>(options.minutes * 60);
  Status status = Ok();
  while (status && Clock::now() < end) {
    status = crowd.Run(kThreads, kOperations);
    ++summary->reopened;
  }
  summary->operations = summary->reopened * kThreads * kOperations;
  const std::vector<Sample> samples = sampler.Finish();
  summary->samples = samples.size();
  summary->rss_early = Median(samples, 1, &Sample::rss);
  summary->rss_late = Median(samples, 4, &Sample::rss);
  summary->files_early = Median(samples, 1, &Sample::files);
  summary->files_late = Median(samples, 4, &Sample::files);
  summary->disk_early = Median(samples, 1, &Sample::disk);
  summary->disk_late = Median(samples, 4, &Sample::disk);
  const Status written = WriteCsv(options.csv, samples);
  return status ? written : status;
}

}  // namespace cairn::test
