#include "capi/guard.h"

#include <string>

namespace cairn::capi {
namespace {

thread_local std::string last_error;

/// The numbers of cairn.h, which never change, for those of Errc, which may be reordered.
cairn_status CodeOf(Errc code) {
  switch (code) {
    case Errc::kInvalidArgument:
      return CAIRN_INVALID_ARGUMENT;
    case Errc::kNotFound:
      return CAIRN_NOT_FOUND;
    case Errc::kExists:
      return CAIRN_EXISTS;
    case Errc::kCorruption:
      return CAIRN_CORRUPTION;
    case Errc::kIo:
      return CAIRN_IO;
    case Errc::kOutOfSpace:
      return CAIRN_OUT_OF_SPACE;
    case Errc::kResource:
      return CAIRN_RESOURCE;
    case Errc::kBusy:
      return CAIRN_BUSY;
    case Errc::kMismatch:
      return CAIRN_MISMATCH;
    case Errc::kUnsupported:
      return CAIRN_UNSUPPORTED;
    case Errc::kInterrupted:
      return CAIRN_INTERRUPTED;
  }
  return CAIRN_INTERNAL;
}

}  // namespace

cairn_status Keep(cairn_status code, const char* message) noexcept {
  try {
    last_error = message;
  } catch (...) {  // no memory even for the sentence
    last_error.clear();
  }
  return code;
}

cairn_status Keep(const Error& error) noexcept {
  return Keep(CodeOf(error.code), error.message.c_str());
}

Status Given(std::initializer_list<Argument> arguments) {
  for (const auto& [pointer, what] : arguments) {
    if (pointer == nullptr) return Fail(Errc::kInvalidArgument, "{} is NULL; give one", what);
  }
  return Ok();
}

}  // namespace cairn::capi

using cairn::capi::Guard;

const char* cairn_version(void) { return CAIRN_VERSION; }

const char* cairn_last_error(void) { return cairn::capi::last_error.c_str(); }

const char* cairn_status_name(cairn_status status) {
  switch (status) {
    case CAIRN_OK:
      return "ok";
    case CAIRN_INVALID_ARGUMENT:
      return "invalid argument";
    case CAIRN_NOT_FOUND:
      return "not found";
    case CAIRN_EXISTS:
      return "exists";
    case CAIRN_CORRUPTION:
      return "corruption";
    case CAIRN_IO:
      return "input or output";
    case CAIRN_OUT_OF_SPACE:
      return "out of space";
    case CAIRN_RESOURCE:
      return "out of memory";
    case CAIRN_BUSY:
      return "busy";
    case CAIRN_MISMATCH:
      return "mismatch";
    case CAIRN_UNSUPPORTED:
      return "unsupported";
    case CAIRN_INTERRUPTED:
      return "interrupted";
    case CAIRN_INTERNAL:
      return "internal";
    default:
      return "unknown";
  }
}
