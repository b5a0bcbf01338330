// Guard: where C++ ends. Results become codes with a sentence kept for the thread; exceptions of
// libraries, and memory that could not be had, become such too.
#pragma once

#include <exception>
#include <new>
#include <utility>

#include "base/device.h"
#include "base/error.h"
#include "capi/cairn.h"

namespace cairn::capi {

/// Keeps what cairn_last_error() says on this thread; gives the code back.
cairn_status Keep(cairn_status code, const char* message) noexcept;
cairn_status Keep(const Error& error) noexcept;

/// kInvalidArgument naming the first of `pointers` that is null, by `what`: "store".
struct Argument {
  const void* pointer;
  const char* what;
};
Status Given(std::initializer_list<Argument> arguments);

/// Runs `body`, a function of Status, and says how it went. The caller's current device stays.
template <class Body>
cairn_status Guard(Body&& body) noexcept {
  const DeviceScope scope;
  try {  // the last adapter there is: nothing is thrown into C
    const Status status = body();
    return status.has_value() ? CAIRN_OK : Keep(status.error());
  } catch (const std::bad_alloc&) {
    return Keep(CAIRN_RESOURCE, "out of memory; lower host-memory or chunk");
  } catch (const std::exception& error) {
    return Keep(CAIRN_INTERNAL, error.what());
  } catch (...) {
    return Keep(CAIRN_INTERNAL, "an exception of no known kind");
  }
}

/// Goes back, by a function of Status, unless what was begun came to an end. Arguments are looked
/// at before: one that is refused changes nothing.
template <class Back>
class Undo {
 public:
  explicit Undo(Back back) : back_(std::move(back)) {}
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    if (!done_) Guard(back_);
  }
  void Done() { done_ = true; }

 private:
  Back back_;
  bool done_ = false;
};

}  // namespace cairn::capi
