// Runs a fuzz target where libFuzzer is not there: the files of a corpus as they are, then a fixed
// number of mutations of them, drawn from a seed.
//
//   fuzz_NAME CORPUS_DIR RUNS SEED
//
// An input that ends the process is left in the working directory as crash-RUN.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

namespace cairn::test {
namespace {

constexpr size_t kMostBytes = 64 << 10;  // of an input
constexpr rlim_t kMostMemory = rlim_t{2} << 30;
constexpr unsigned kMostSeconds = 10;  // of one run

/// What runs now, for the handler of signals.
struct Running {
  const std::string* input = nullptr;
  char name[32] = {};
} running;

void SaveInput(int signal) {
  const int fd = open(running.name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd >= 0 && running.input != nullptr) {
    (void)!write(fd, running.input->data(), running.input->size());
  }
  (void)!write(STDERR_FILENO, running.name, std::strlen(running.name));
  (void)!write(STDERR_FILENO, " ends the process\n", 18);
  _exit(128 + signal);
}

void RunOne(uint64_t number, const std::string& input) {
  running.input = &input;
  std::snprintf(running.name, sizeof running.name, "crash-%llu",
                static_cast<unsigned long long>(number));
  alarm(kMostSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> ReadCorpus(const std::string& directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& corpus, uint64_t seed) : corpus_(corpus), random_(seed) {}

  std::string Next() {
    std::string input = corpus_[Below(corpus_.size())];
    for (size_t change = 1 + Below(6); change > 0; --change) Change(input);
    if (input.size() > kMostBytes) input.resize(kMostBytes);
    return input;
  }

 private:
  size_t Below(size_t end) { return random_() % end; }

  void Change(std::string& input) {
    if (input.empty()) {
      input.push_back(static_cast<char>(random_()));
      return;
    }
    const size_t at = Below(input.size());
    switch (Below(7)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 1:
        input[at] = static_cast<char>(random_());
        break;
      case 2:
        input.erase(at, 1 + Below(16));
        break;
      case 3:
        input.insert(at, input, Below(input.size()), 1 + Below(64));
        break;
      case 4: {
        const std::string& other = corpus_[Below(corpus_.size())];
        if (!other.empty()) input.insert(at, other, Below(other.size()), 1 + Below(64));
        break;
      }
      case 5:
        input.resize(at);
        break;
      default:
        WriteNumber(input, at);
    }
  }

  /// A number as lengths and counts go wrong: near nothing, near the most, near powers of two.
  void WriteNumber(std::string& input, size_t at) {
    constexpr size_t kWidths[] = {1, 2, 4, 8};
    uint64_t number = Below(2) == 0 ? uint64_t{1} << Below(64) : ~uint64_t{0} >> Below(64);
    number += Below(5) - 2;
    const size_t width = std::min(kWidths[Below(4)], input.size() - at);
    std::memcpy(input.data() + at, &number, width);
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_;
};

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "%s CORPUS_DIR RUNS SEED\n", argv[0]);
    return 2;
  }
#ifndef CAIRN_SANITIZED
  const rlimit memory{kMostMemory, kMostMemory};  // a few bytes must not ask for gigabytes
  setrlimit(RLIMIT_AS, &memory);
#endif
  for (const int fatal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) {
    signal(fatal, SaveInput);
  }
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s has no files; make the corpus first\n", argv[1]);
    return 2;
  }
  const uint64_t runs = std::strtoull(argv[2], nullptr, 10);
  uint64_t number = 0;
  for (const std::string& input : corpus) RunOne(number++, input);
  Mutator mutator(corpus, std::strtoull(argv[3], nullptr, 10));
  for (uint64_t run = 0; run < runs; ++run) RunOne(number++, mutator.Next());
  std::printf("%zu files and %llu mutations\n", corpus.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) { return cairn::test::Main(argc, argv); }
