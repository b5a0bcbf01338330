#include "storage/catalog_format.h"

#include <cstring>
#include <span>
#include <utility>

#include "storage/block_format.h"
#include "storage/byte_reader.h"

namespace cairn {
namespace {

constexpr size_t kSectionKeyBytes = 2 + 8 + 2 + 4 + 2;
constexpr size_t kTokensKeyBytes = 2 + 8 + 1 + 8;

template <class T>
void AppendBigEndian(std::string& out, T value) {
  for (int shift = 8 * (sizeof(T) - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift));
  }
}

template <class T>
T BigEndianAt(std::string_view in, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value << 8) | static_cast<uint8_t>(in[offset + i]);
  }
  return value;
}

Error Damaged(std::string_view key, std::string_view fault) {
  return Fail(Errc::kCorruption,
              "the catalog entry {} is damaged: {}; restore the store from a copy, or delete the "
              "session",
              DescribeKey(key), fault);
}

constexpr std::string_view kOtherForm = "its bytes are not of the form that was written";

}  // namespace

std::string SessionKey(std::string_view name) { return std::string(kSessionPrefix).append(name); }

std::string TokensPrefix(uint64_t session) {
  std::string key = "t/";
  AppendBigEndian(key, session);
  key.push_back('/');
  return key;
}

std::string TokensKey(uint64_t session, uint64_t first_token) {
  std::string key = TokensPrefix(session);
  AppendBigEndian(key, first_token);
  return key;
}

std::string TailKey(uint64_t session) {
  std::string key = "a/";
  AppendBigEndian(key, session);
  return key;
}

std::string SectionsPrefix(uint64_t extent) {
  std::string key = "m/";
  AppendBigEndian(key, extent);
  return key;
}

std::string SectionsPrefix(uint64_t extent, uint16_t layer) {
  std::string key = SectionsPrefix(extent);
  AppendBigEndian(key, layer);
  return key;
}

std::string SectionKey(const SummarySection& section) {
  std::string key = SectionsPrefix(section.extent, section.layer);
  AppendBigEndian(key, section.first);
  AppendBigEndian(key, section.type);
  return key;
}

std::string_view NameInKey(std::string_view key) { return key.substr(kSessionPrefix.size()); }

Result<uint64_t> FirstTokenInKey(std::string_view key) {
  if (key.size() != kTokensKeyBytes) return Damaged(key, "its key has another size");
  return BigEndianAt<uint64_t>(key, kTokensKeyBytes - sizeof(uint64_t));
}

uint32_t FirstBlockInKey(std::string_view key) {
  return key.size() == kSectionKeyBytes ? BigEndianAt<uint32_t>(key, 12) : 0;
}

std::string SealValue(std::string_view key, std::string body) {
  body.resize(body.size() + kTrailerBytes);
  WriteTrailer(key, kCatalogMagic, std::as_writable_bytes(std::span(body)));
  return body;
}

Result<std::string> OpenValue(std::string_view key, std::string value) {
  const char* fault = CheckTrailer(key, kCatalogMagic, std::as_bytes(std::span(value)));
  if (fault != nullptr) return Damaged(key, fault);
  value.resize(value.size() - kTrailerBytes);
  return value;
}

std::string DescribeKey(std::string_view key) {
  std::string text = "'";
  for (const char c : key) {
    if (c > ' ' && c <= '~' && c != '\'') {
      text.push_back(c);
    } else {
      text += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    }
  }
  return text + "'";
}

std::string EncodeFormat(uint32_t version) {
  std::string body;
  AppendBytes(body, version);
  return body;
}

Result<uint32_t> DecodeFormat(std::string_view body) {
  ByteReader reader(body);
  const auto version = reader.Take<uint32_t>();
  if (!reader.Done()) return Damaged(kFormatKey, kOtherForm);
  return version;
}

Status CheckFormatVersion(uint32_t version, std::string_view store) {
  if (version == kStoreFormatVersion) return Ok();
  if (version == 0) return Fail(Errc::kCorruption, "the store has format 0, which is none");
  if (version < kStoreFormatVersion) {
    return Fail(Errc::kUnsupported,
                "the store {} has format {} and this program works with format {}; run `cairn "
                "upgrade --store {}` once",
                store, version, kStoreFormatVersion, store);
  }
  return Fail(Errc::kUnsupported,
              "the store {} has format {} and this program knows formats up to {}; use a newer "
              "cairn",
              store, version, kStoreFormatVersion);
}

std::string EncodeNext(const NextIds& next) {
  std::string body;
  AppendBytes(body, next.extent);
  AppendBytes(body, next.session);
  return body;
}

Result<NextIds> DecodeNext(std::string_view body) {
  ByteReader reader(body);
  NextIds next;
  next.extent = reader.Take<uint64_t>();
  next.session = reader.Take<uint64_t>();
  if (!reader.Done()) return Damaged(kNextKey, kOtherForm);
  return next;
}

std::string EncodeSession(const SessionRecord& record) {
  std::string body;
  AppendBytes(body, record.id);
  AppendBytes(body, record.tokens);
  AppendBytes(body, record.rows);
  AppendBytes(body, record.tail_bytes);
  AppendBytes(body, record.commits);
  AppendBytes(body, static_cast<uint32_t>(record.ranges.size()));
  AppendBytes(body, static_cast<uint32_t>(record.properties.size()));
  for (const ExtentRange& range : record.ranges) {
    AppendBytes(body, range.extent);
    AppendBytes(body, range.first);
    AppendBytes(body, range.count);
  }
  return body + record.properties;
}

Result<SessionRecord> DecodeSession(std::string_view key, std::string_view body) {
  ByteReader reader(body);
  SessionRecord record;
  record.name = NameInKey(key);
  record.id = reader.Take<uint64_t>();
  record.tokens = reader.Take<uint64_t>();
  record.rows = reader.Take<uint64_t>();
  record.tail_bytes = reader.Take<uint64_t>();
  record.commits = reader.Take<uint64_t>();
  const auto ranges = reader.Take<uint32_t>();
  const auto properties_bytes = reader.Take<uint32_t>();
  if (uint64_t{ranges} * 16 + properties_bytes != reader.left()) return Damaged(key, kOtherForm);
  record.ranges.resize(ranges);
  for (ExtentRange& range : record.ranges) {
    range.extent = reader.Take<uint64_t>();
    range.first = reader.Take<uint32_t>();
    range.count = reader.Take<uint32_t>();
  }
  record.properties = reader.TakeBytes(properties_bytes);
  if (!reader.Done()) return Damaged(key, kOtherForm);
  return record;
}

std::string EncodeTokens(const std::vector<uint32_t>& tokens) {
  std::string body(tokens.size() * sizeof(uint32_t), '\0');
  if (!tokens.empty()) std::memcpy(body.data(), tokens.data(), body.size());
  return body;
}

Result<std::vector<uint32_t>> DecodeTokens(std::string_view key, std::string_view body) {
  if (body.empty() || body.size() % sizeof(uint32_t) != 0) return Damaged(key, kOtherForm);
  std::vector<uint32_t> tokens(body.size() / sizeof(uint32_t));
  std::memcpy(tokens.data(), body.data(), body.size());
  return tokens;
}

Status AddSection(const SummarySection& section, MetaBatch& batch) {
  if (section.count == 0 || section.bytes.size() % section.count != 0) {
    return Fail(Errc::kInvalidArgument,
                "a summary of {} blocks cannot have {} bytes: blocks have equal parts",
                section.count, section.bytes.size());
  }
  std::string key = SectionKey(section);
  std::string value = SealValue(key, EncodeSection(section));
  batch.puts.emplace_back(std::move(key), std::move(value));
  return Ok();
}

std::string EncodeSection(const SummarySection& section) {
  std::string body;
  AppendBytes(body, section.version);
  AppendBytes(body, uint16_t{0});
  AppendBytes(body, section.count);
  return body + section.bytes;
}

Result<SummarySection> DecodeSection(std::string_view key, std::string_view body) {
  if (key.size() != kSectionKeyBytes) return Damaged(key, "its key has another size");
  SummarySection section;
  section.extent = BigEndianAt<uint64_t>(key, 2);
  section.layer = BigEndianAt<uint16_t>(key, 10);
  section.first = BigEndianAt<uint32_t>(key, 12);
  section.type = BigEndianAt<uint16_t>(key, 16);
  ByteReader reader(body);
  section.version = reader.Take<uint16_t>();
  reader.Take<uint16_t>();
  section.count = reader.Take<uint32_t>();
  section.bytes = reader.TakeBytes(reader.left());
  const bool whole = section.count > 0 && section.bytes.size() % section.count == 0;
  if (!reader.Done() || !whole) return Damaged(key, kOtherForm);
  return section;
}

}  // namespace cairn
