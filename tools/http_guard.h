// HttpGuard: who may ask a web server that is for one user: whoever has its token and calls it by a
// name of its own. Pure functions; no sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace cairn {

/// 128 bits from the system's random numbers, as 32 hexadecimal digits. kIo if it has none.
Result<std::string> MakeToken();
/// kInvalidArgument unless it has 16 to 128 letters, digits, '-' and '_'.
Status CheckToken(std::string_view token);

/// Takes the same time wherever two texts of one length differ.
bool EqualInConstantTime(std::string_view a, std::string_view b);

/// What follows "Bearer " in a header's value; empty if it says something else.
std::string_view BearerOf(std::string_view authorization);

/// Which names a client may call the server by. A page of another site that has its own name
/// resolve to this machine calls by that name, and is refused.
class HostNames {
 public:
  /// `host` is the address listened on, as text; all ways to write it are one. Of all addresses
  /// ("0.0.0.0", "::") any address of numbers may be called; `localhost` always.
  HostNames(const std::string& host, int port);
  /// `value` is the whole header: a name or address, in brackets if it has colons, and the port.
  bool Allows(std::string_view value) const;

 private:
  std::string port_;
  std::optional<std::string> address_;  // its bytes
  bool all_;
};

/// How browsers see a server that has another one with encryption in front of it.
struct PublicUrl {
  std::string origin;  ///< "https://name.example"
  std::string host;    ///< "name.example", with the port if it has one

  /// Of that address, in small letters. kInvalidArgument for what has no scheme, or more than a
  /// name and a port.
  static Result<PublicUrl> Parse(std::string_view url);
};

/// "[::1]" of "::1"; others as they are.
std::string HostInUrl(std::string_view host);

/// The part of a request's path behind "/TOKEN", if it begins so; empty if not. "/TOKEN" alone
/// gives "" too: a page's relative links need the slash.
std::string_view BelowToken(std::string_view path, std::string_view token);

}  // namespace cairn
