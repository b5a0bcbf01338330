#include "base/error.h"

#include <boost/version.hpp>

#include "base/library_versions.h"

namespace cairn {

std::string_view ErrcName(Errc code) {
  switch (code) {
    case Errc::kInvalidArgument:
      return "invalid argument";
    case Errc::kNotFound:
      return "not found";
    case Errc::kExists:
      return "exists";
    case Errc::kCorruption:
      return "corruption";
    case Errc::kIo:
      return "input/output";
    case Errc::kOutOfSpace:
      return "out of space";
    case Errc::kResource:
      return "resource";
    case Errc::kBusy:
      return "busy";
    case Errc::kMismatch:
      return "mismatch";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kInterrupted:
      return "interrupted";
  }
  return "unknown";
}

std::string BoostVersion() {
  return std::to_string(BOOST_VERSION / 100000) + "." + std::to_string(BOOST_VERSION / 100 % 1000);
}

}  // namespace cairn
