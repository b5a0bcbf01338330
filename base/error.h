// Result<T>: how every fallible function of cairn reports what the world did to it.
//
// An Error carries a code (for programs) and one sentence that names the thing and the remedy (for
// people). Exceptions and foreign status types are converted to it in the adapter that meets them.
// Mistakes of our own are not errors: they are CAIRN_CHECK (base/check.h).
#pragma once

#include <fmt/core.h>

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace cairn {

/// What kind of thing went wrong; programs branch on it, people read the message.
enum class Errc {
  kInvalidArgument,  ///< the caller asked for something that cannot be
  kNotFound,         ///< a named thing is not there
  kExists,           ///< a named thing is there already
  kCorruption,       ///< bytes are not what was written
  kIo,               ///< the operating system or the disk refused
  kOutOfSpace,       ///< a limit on disk space was reached
  kResource,         ///< a memory budget is too small, or used up
  kBusy,             ///< somebody else holds the lock
  kMismatch,         ///< two things that must agree do not
  kUnsupported,      ///< valid, but not something this version does
  kInterrupted,      ///< the user asked to stop
};

/// The code's name, e.g. "corruption".
std::string_view ErrcName(Errc code);

struct Error {
  Errc code;
  std::string message;
};

template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;
using Status = Result<void>;

/// The value of a Result<void> that succeeded.
inline auto Ok() { return boost::outcome_v2::success(); }

/// Makes an Error from a format string: `return Fail(Errc::kNotFound, "no session '{}'", name);`
template <class... Args>
Error Fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace cairn

/// CAIRN_TRY(expression) or CAIRN_TRY(auto x, expression): returns the error from this function, or
/// goes on (with the value in x). A statement of its own: brace it under an if.
#define CAIRN_TRY(...) \
  CAIRN_TRY_PICK_(__VA_ARGS__, CAIRN_TRY_VALUE_, CAIRN_TRY_STATUS_)(__VA_ARGS__)
#define CAIRN_TRY_PICK_(first, second, name, ...) name
#define CAIRN_TRY_STATUS_(expression)                                       \
  do {                                                                      \
    auto try_status = (expression);                                         \
    if (!try_status.has_value()) return std::move(try_status).as_failure(); \
  } while (false)
#define CAIRN_TRY_VALUE_(declaration, expression) \
  CAIRN_TRY_NAMED_(CAIRN_TRY_JOIN_(try_result_, __LINE__), declaration, expression)
#define CAIRN_TRY_JOIN_(a, b) CAIRN_TRY_JOIN2_(a, b)
#define CAIRN_TRY_JOIN2_(a, b) a##b
#define CAIRN_TRY_NAMED_(name, declaration, expression)       \
  auto name = (expression);                                   \
  if (!name.has_value()) return std::move(name).as_failure(); \
  declaration = std::move(name).value()
