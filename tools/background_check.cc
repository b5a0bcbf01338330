#include "tools/background_check.h"

#include <ctime>

#include "tools/store_check.h"

namespace cairn {
namespace {

using Clock = std::chrono::steady_clock;

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0 ? "" : text;
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

BackgroundCheck::BackgroundCheck(const Flags& flags) : flags_(flags) {
  flags_.quiet = true;  // nobody looks at stderr
}

BackgroundCheck::~BackgroundCheck() {
  if (thread_.joinable()) thread_.join();
}

bool BackgroundCheck::Start() {
  const std::lock_guard lock(mutex_);
  if (state_ == "running") return false;
  if (thread_.joinable()) thread_.join();  // which has ended
  state_ = "running";
  began_ = UtcNow();
  start_ = Clock::now();
  thread_ = std::thread([this] { Run(); });
  return true;
}

void BackgroundCheck::Run() {
  const auto checked = CheckStore(flags_, {}, flags_.quiet);
  const std::lock_guard lock(mutex_);
  seconds_ = SecondsSince(start_);
  report_ = message_ = nullptr;
  if (!checked) {
    state_ = "failed";
    message_ = checked.error().message;
    return;
  }
  const StoreCheck& check = checked.value();
  report_ = ToJson(check);
  const Status verdict = Verdict(check, flags_.store);
  state_ = "whole";
  if (verdict) return;
  state_ = check.unreadable() < check.findings.size() ? "damaged" : "unreadable";
  message_ = verdict.error().message;
}

nlohmann::json BackgroundCheck::State() const {
  const std::lock_guard lock(mutex_);
  const bool running = state_ == "running";
  return {{"state", state_},
          {"began", began_.empty() ? nlohmann::json() : nlohmann::json(began_)},
          {"seconds", running ? SecondsSince(start_) : seconds_},
          {"report", report_},
          {"message", message_}};
}

}  // namespace cairn
