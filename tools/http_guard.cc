#include "tools/http_guard.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace cairn {
namespace {

constexpr size_t kShortestToken = 16, kLongestToken = 128;

/// The 16 bytes of an address, however it is written; one of IPv4 as IPv6 has it (::ffff:a.b.c.d).
std::optional<std::string> AddressOf(const std::string& text) {
  std::string bytes(sizeof(in6_addr), '\0');
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes[10] = bytes[11] = '\xff';
  if (inet_pton(AF_INET, text.c_str(), &bytes[12]) == 1) return bytes;
  return std::nullopt;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

Result<std::string> MakeToken() {
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return Fail(Errc::kIo,
                "no random numbers can be had for a token: {}; give one as --access-token",
                std::strerror(errno));
  }
  std::string token;
  for (const unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

Status CheckToken(std::string_view token) {
  const bool clean = std::ranges::all_of(token, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
  });
  if (clean && token.size() >= kShortestToken && token.size() <= kLongestToken) return Ok();
  return Fail(Errc::kInvalidArgument,
              "--access-token: use {} to {} letters, digits, '-' and '_'; without it one is drawn",
              kShortestToken, kLongestToken);
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char differing = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    differing = static_cast<unsigned char>(
        differing | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
  }
  return *const_cast<volatile unsigned char*>(&differing) == 0;
}

std::string_view BearerOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return {};
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if (Lower(authorization[i]) != kScheme[i]) return {};
  }
  authorization.remove_prefix(kScheme.size());
  while (!authorization.empty() && authorization.front() == ' ') authorization.remove_prefix(1);
  return authorization;
}

HostNames::HostNames(const std::string& host, int port)
    : port_(std::to_string(port)), address_(AddressOf(host)) {
  all_ = address_ == AddressOf("0.0.0.0") || address_ == AddressOf("::");
}

bool HostNames::Allows(std::string_view value) const {
  std::string host;
  std::string_view rest = value;
  if (!rest.empty() && rest.front() == '[') {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) return false;
    host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
  } else {
    host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(host.size());
  }
  if (rest.empty() ? port_ != "80" : rest != ":" + port_) return false;
  std::ranges::transform(host, host.begin(), Lower);
  const auto address = AddressOf(host);
  return host == "localhost" || (address.has_value() && (all_ || address == address_));
}

Result<PublicUrl> PublicUrl::Parse(std::string_view url) {
  PublicUrl parsed;
  parsed.origin = url.ends_with('/') ? url.substr(0, url.size() - 1) : url;
  std::ranges::transform(parsed.origin, parsed.origin.begin(), Lower);
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (parsed.origin.starts_with(scheme)) parsed.host = parsed.origin.substr(scheme.size());
  }
  const bool clean = std::ranges::all_of(parsed.host, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           std::string_view("-._:[]").find(c) != std::string_view::npos;
  });
  if (clean && !parsed.host.empty()) return parsed;
  return Fail(Errc::kInvalidArgument,
              "--public-url {}: use what a browser shows, such as https://name.example", url);
}

std::string HostInUrl(std::string_view host) {
  return host.find(':') == std::string_view::npos ? std::string(host) : fmt::format("[{}]", host);
}

std::string_view BelowToken(std::string_view path, std::string_view token) {
  if (path.size() < token.size() + 2 || path.front() != '/') return {};
  if (path[token.size() + 1] != '/') return {};
  if (!EqualInConstantTime(path.substr(1, token.size()), token)) return {};
  return path.substr(token.size() + 1);
}

}  // namespace cairn
