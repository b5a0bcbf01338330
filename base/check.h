// CAIRN_CHECK: states what must be true if cairn itself has no bug; says where and stops if not.
// Never use it for input, files or devices: those are Result<T> (base/error.h).
#pragma once

namespace cairn {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace cairn

#define CAIRN_CHECK(condition)                              \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      ::cairn::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
