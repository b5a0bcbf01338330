// MetricsServer: serves what a command does to Prometheus, in its text format, as
// http://127.0.0.1:PORT/metrics. To this machine only. docs/cli.md lists what there is.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "tools/http_server.h"
#include "tools/run_metrics.h"

namespace cairn {

/// The text that is served for a sample.
std::string MetricsText(const MetricsSample& sample);

class MetricsServer {
 public:
  /// Serves samples of `metrics`, which must outlive it, from a thread of its own. Port 0 takes any
  /// that is free. kInvalidArgument for what is no port, kBusy if it cannot be had,
  /// kResource if there are too few threads.
  static Result<std::unique_ptr<MetricsServer>> Start(const RunMetrics& metrics, int port);
  int port() const;

 private:
  explicit MetricsServer(std::unique_ptr<HttpServer> server) : server_(std::move(server)) {}
  std::unique_ptr<HttpServer> server_;
};

}  // namespace cairn
