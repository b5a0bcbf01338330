// The bytes of the catalog's keys and values (docs/format.md). Private to SessionCatalog.
//
// Every value is a body and the trailer of block_format.h, whose checksum is seeded by the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "storage/session_catalog.h"

namespace cairn {

inline constexpr uint32_t kCatalogMagic = 0x31544143;  ///< "CAT1"; the digit is the version
inline constexpr std::string_view kFormatKey = "format";
inline constexpr std::string_view kNextKey = "next";
inline constexpr std::string_view kSessionPrefix = "s/";

std::string SessionKey(std::string_view name);
std::string TokensPrefix(uint64_t session);
std::string TokensKey(uint64_t session, uint64_t first_token);
std::string TailKey(uint64_t session);
std::string SectionsPrefix(uint64_t extent);
std::string SectionsPrefix(uint64_t extent, uint16_t layer);
std::string SectionKey(const SummarySection& section);

/// The name in a session's key.
std::string_view NameInKey(std::string_view key);
/// The index of its first token in a tokens key; kCorruption if it is not one.
Result<uint64_t> FirstTokenInKey(std::string_view key);

/// The ordinal of its first block in a section's key; 0 if it is not one.
uint32_t FirstBlockInKey(std::string_view key);

/// `body` with its trailer.
std::string SealValue(std::string_view key, std::string body);
/// The body of a sealed value; kCorruption naming the entry if the trailer does not fit.
Result<std::string> OpenValue(std::string_view key, std::string value);
/// The key in readable form, for messages.
std::string DescribeKey(std::string_view key);

struct NextIds {
  uint64_t extent = 1;  ///< 0 is no extent
  uint64_t session = 1;
};

// Bodies. Decoders give kCorruption naming the entry for bytes of another form.
std::string EncodeFormat(uint32_t version);
Result<uint32_t> DecodeFormat(std::string_view body);
/// kUnsupported, and what to do, if a store of this version is not for this program.
Status CheckFormatVersion(uint32_t version, std::string_view store);
std::string EncodeNext(const NextIds& next);
Result<NextIds> DecodeNext(std::string_view body);
std::string EncodeSession(const SessionRecord& record);
Result<SessionRecord> DecodeSession(std::string_view key, std::string_view body);
std::string EncodeTokens(const std::vector<uint32_t>& tokens);
Result<std::vector<uint32_t>> DecodeTokens(std::string_view key, std::string_view body);
/// Adds the entry of a section; kInvalidArgument if its blocks have not equal parts.
Status AddSection(const SummarySection& section, MetaBatch& batch);
std::string EncodeSection(const SummarySection& section);
Result<SummarySection> DecodeSection(std::string_view key, std::string_view body);

}  // namespace cairn
