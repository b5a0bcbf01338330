#include "bench/search_bench.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "base/parallel.h"
#include "bench/flat_faiss.h"
#include "bench/process_usage.h"
#include "bench/search_data.h"

namespace cairn {
namespace {

constexpr int32_t kGroups = 12;  // of queries, whose recall is the row's
constexpr int64_t kLeastBytes = 96
                                << 20;  // of 8-bit codes in all partitions: more than caches hold
constexpr int64_t kMostPartitions = 32;
constexpr int64_t kAddBlocks = 256;  // appended at once

/// CPU time of this thread, which does all the work of both sides: what else runs on the machine
/// does not count.
double NowMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

double Milliseconds(double begin) { return NowMilliseconds() - begin; }

/// One kind of index over all partitions.
struct Side {
  std::unique_ptr<LandmarkIndex> index;
  std::vector<double> times, many_times;
  double add_microseconds = 0;
  SearchResult result;
};

/// What all sides of one size share.
struct Setting {
  SearchData data;
  int32_t partitions = 1;
  std::vector<std::set<int64_t>> best;   ///< per query group
  std::vector<std::vector<double>> lse;  ///< per query group and row
};

SearchRequest RequestFor(const Setting& setting, int32_t partition, const float* queries,
                         int32_t rows, int32_t k) {
  SearchRequest request;
  request.first_partition = partition;
  request.queries = queries;
  request.rows = request.rows_per_group = rows;
  request.end = std::ssize(setting.data.vectors) / setting.data.dim;
  request.k = k;
  return request;
}

/// The k best of each group by f32 vectors and sums in double.
void FindBest(int32_t k, Setting* setting) {
  const SearchData& data = setting->data;
  const int64_t n = std::ssize(data.vectors) / data.dim;
  std::vector<double> scores(static_cast<size_t>(n));
  for (const auto& group : data.queries) {
    std::vector<double> weights(static_cast<size_t>(n), -std::numeric_limits<double>::infinity());
    std::vector<double> lse;
    for (int32_t r = 0; r < data.rows; ++r) {
      const float* query = group.data() + r * data.dim;
      for (int64_t i = 0; i < n; ++i) {
        const float* vector = data.vectors.data() + i * data.dim;
        double sum = 0;
        for (int32_t d = 0; d < data.dim; ++d) sum += static_cast<double>(query[d]) * vector[d];
        scores[static_cast<size_t>(i)] = sum;
      }
      const double top = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (const double s : scores) sum += std::exp(s - top);
      lse.push_back(top + std::log(sum));
      for (size_t i = 0; i < scores.size(); ++i) {
        weights[i] = std::max(weights[i], scores[i] - lse.back());
      }
    }
    std::vector<int64_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
      return weights[static_cast<size_t>(a)] > weights[static_cast<size_t>(b)];
    });
    setting->best.emplace_back(order.begin(), order.begin() + k);
    setting->lse.push_back(std::move(lse));
  }
}

Result<Setting> MakeSetting(const SearchBenchOptions& options, int64_t count, int32_t dim) {
  Setting setting;
  if (options.recording != nullptr) {
    const size_t layer = options.recording->layers.size() / 2;
    CAIRN_TRY(setting.data, RecordedSearchData(*options.recording, layer, 0, count, dim, kGroups));
  } else {
    setting.data = DrawSearchData(count, dim, options.rows, kGroups, 1);
  }
  setting.partitions =
      static_cast<int32_t>(std::clamp<int64_t>(kLeastBytes / (count * dim), 1, kMostPartitions));
  FindBest(options.k, &setting);
  return setting;
}

Result<Side> MakeSide(IndexKind kind, const Setting& setting) {
  IndexOptions options;
  options.kind = kind;
  options.partitions = setting.partitions;
  options.dim = setting.data.dim;
  Side side;
  CAIRN_TRY(side.index, MakeIndex(options));
  const int64_t n = std::ssize(setting.data.vectors) / setting.data.dim;
  const auto begin = NowMilliseconds();
  for (int32_t p = 0; p < setting.partitions; ++p) {
    for (int64_t at = 0; at < n; at += kAddBlocks) {
      CAIRN_TRY(side.index->Add(p, 1, std::min(kAddBlocks, n - at),
                                setting.data.vectors.data() + at * setting.data.dim));
    }
  }
  side.add_microseconds = 1e3 * Milliseconds(begin) / static_cast<double>(n * setting.partitions);
  return side;
}

/// Queries of all groups one behind the other, and again, until there are `rows`.
std::vector<float> ManyQueries(const SearchData& data, int32_t rows) {
  std::vector<float> queries;
  for (size_t g = 0; std::ssize(queries) < int64_t{rows} * data.dim; ++g) {
    const auto& group = data.queries[g % data.queries.size()];
    queries.insert(queries.end(), group.begin(), group.end());
  }
  queries.resize(static_cast<size_t>(rows) * static_cast<size_t>(data.dim));
  return queries;
}

void Judge(const SearchBenchOptions& options, const Setting& setting, Side* side, SearchRow* row) {
  int64_t found = 0;
  double error = 0;
  for (size_t g = 0; g < setting.data.queries.size(); ++g) {
    const SearchRequest request =
        RequestFor(setting, 0, setting.data.queries[g].data(), setting.data.rows, options.k);
    if (!side->index->Search(request, &side->result)) continue;
    for (const int64_t ordinal : side->result.ordinals) {
      found += setting.best[g].contains(ordinal) ? 1 : 0;
    }
    for (size_t r = 0; r < side->result.lse.size(); ++r) {
      error += std::fabs(side->result.lse[r] - setting.lse[g][r]);
    }
  }
  const auto groups = static_cast<double>(setting.data.queries.size());
  row->recall = static_cast<double>(found) / (groups * options.k);
  row->lse_error = error / (groups * setting.data.rows);
}

/// Every side in turn, a partition and a query group further each time.
Status TakeTurns(const SearchBenchOptions& options, const Setting& setting,
                 std::vector<Side>* sides, std::vector<FlatFaiss>* faiss,
                 std::vector<double> faiss_times[2]) {
  const int32_t rows = setting.data.rows;
  std::vector<float> scores(static_cast<size_t>(rows * options.k));
  std::vector<int64_t> labels(scores.size());
  const int32_t many = options.many_rows * rows;
  const std::vector<float> many_queries = ManyQueries(setting.data, many);
  for (int32_t turn = -1; turn < options.turns; ++turn) {  // the first one does not count
    const int32_t partition = (turn + 1) % setting.partitions;
    const auto& queries =
        setting.data.queries[static_cast<size_t>(turn + 1) % setting.data.queries.size()];
    for (Side& side : *sides) {
      const auto begin = NowMilliseconds();
      CAIRN_TRY(side.index->Search(RequestFor(setting, partition, queries.data(), rows, options.k),
                                   &side.result));
      if (turn >= 0) side.times.push_back(Milliseconds(begin));
    }
    for (int blas = 0; blas < 2 && !faiss->empty(); ++blas) {
      const auto begin = NowMilliseconds();
      (*faiss)[static_cast<size_t>(partition)].Search(queries.data(), rows, options.k, blas == 1,
                                                      scores, labels);
      if (turn >= 0) faiss_times[blas].push_back(Milliseconds(begin));
    }
    if (many == 0 || turn >= 5) continue;
    for (Side& side : *sides) {
      const auto begin = NowMilliseconds();
      CAIRN_TRY(side.index->Search(
          RequestFor(setting, partition, many_queries.data(), many, options.k), &side.result));
      if (turn >= 0) side.many_times.push_back(Milliseconds(begin));
    }
  }
  return Ok();
}

}  // namespace

Result<std::vector<SearchRow>> RunSearchBench(const SearchBenchOptions& options,
                                              const std::function<bool(const std::string&)>& show) {
  std::vector<SearchRow> report;
  for (const int32_t dim : options.dims) {
    for (const int64_t count : options.counts) {
      if (options.k > count) {
        return Fail(Errc::kInvalidArgument,
                    "{} of {} vectors cannot be chosen; retrieve {} or fewer", options.k, count,
                    count);
      }
      if (show(fmt::format("{} vectors of dimension {}", count, dim))) {
        return Fail(Errc::kInterrupted, "stopped; nothing is reported");
      }
      CAIRN_TRY(const Setting setting, MakeSetting(options, count, dim));
      std::vector<Side> sides;
      for (const IndexKind kind : options.kinds) {
        CAIRN_TRY(auto side, MakeSide(kind, setting));
        sides.push_back(std::move(side));
      }
      std::vector<FlatFaiss> faiss;
      for (int32_t p = 0; p < (options.faiss ? setting.partitions : 0); ++p) {
        faiss.emplace_back(dim, count, setting.data.vectors.data());
      }
      std::vector<double> faiss_times[2];
      CAIRN_TRY(TakeTurns(options, setting, &sides, &faiss, faiss_times));
      for (Side& side : sides) {
        SearchRow row;
        row.index = side.index->name();
        row.count = count;
        row.dim = dim;
        row.rows = setting.data.rows;
        row.k = options.k;
        row.partitions = setting.partitions;
        row.recorded = setting.data.recorded;
        row.milliseconds = Median(side.times);
        if (options.faiss) {
          row.faiss_ms = Median(faiss_times[0]);
          row.faiss_blas_ms = Median(faiss_times[1]);
        }
        if (!side.many_times.empty()) row.many_ms = Median(side.many_times);
        row.bytes_per_vector = static_cast<double>(side.index->memory_bytes()) /
                               (static_cast<double>(count) * setting.partitions);
        row.add_microseconds = side.add_microseconds;
        Judge(options, setting, &side, &row);
        report.push_back(row);
      }
    }
  }
  return report;
}

double GrowthExponent(const SearchRow& small, const SearchRow& large) {
  return std::log(large.milliseconds / small.milliseconds) /
         std::log(static_cast<double>(large.count) / static_cast<double>(small.count));
}

}  // namespace cairn
