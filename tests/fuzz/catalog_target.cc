// The catalog: a store's metadata as parts (fuzz_input.h), each an entry. Most get a trailer that
// fits, so that what decodes them is reached; what a session then says is used as a writer does.
#include <string>
#include <utility>

#include "base/check.h"
#include "storage/catalog_format.h"
#include "storage/memory_cold_store.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/parts_of_catalog.h"

namespace cairn::test {
namespace {

/// Ids are counted through in places; a store gives out few while we look.
constexpr uint64_t kMostIds = 64;

std::string KeyOf(const FuzzPart& part) {
  switch (static_cast<CatalogPart>(part.kind)) {
    case CatalogPart::kFormat:
      return std::string(kFormatKey);
    case CatalogPart::kNext:
      return std::string(kNextKey);
    case CatalogPart::kSession:
    case CatalogPart::kUnsealed:
      return SessionKey(std::string(1, static_cast<char>('a' + part.place % 4)));
    case CatalogPart::kTokens:
      return TokensKey(part.place % 4, part.place / 4);
    case CatalogPart::kTail:
      return TailKey(part.place % 4);
    case CatalogPart::kSection: {
      const uint32_t place = part.place;
      return SectionKey({.type = 1,
                         .extent = place % 4,
                         .layer = static_cast<uint16_t>(place / 4 % 2),
                         .first = place / 8});
    }
    default:
      return std::string(part.body.substr(0, part.place));  // and the same bytes as its body
  }
}

/// What decodes is encoded again to the same bytes.
void DecodeAlone(const FuzzPart& part, const std::string& key) {
  switch (static_cast<CatalogPart>(part.kind)) {
    case CatalogPart::kFormat:
      if (const auto v = DecodeFormat(part.body)) CAIRN_CHECK(EncodeFormat(v.value()) == part.body);
      break;
    case CatalogPart::kNext:
      if (const auto v = DecodeNext(part.body)) CAIRN_CHECK(EncodeNext(v.value()) == part.body);
      break;
    case CatalogPart::kSession:
      if (const auto v = DecodeSession(key, part.body)) {
        CAIRN_CHECK(EncodeSession(v.value()) == part.body);
      }
      break;
    case CatalogPart::kTokens:
      if (const auto v = DecodeTokens(key, part.body)) {
        CAIRN_CHECK(EncodeTokens(v.value()) == part.body);
      }
      break;
    case CatalogPart::kSection:
      if (const auto v = DecodeSection(key, part.body)) {
        CAIRN_CHECK(SectionKey(v.value()) == key && v.value().count > 0);
      }
      break;
    default:
      (void)FirstTokenInKey(key).has_value();
      (void)FirstBlockInKey(key);
      (void)DecodeSection(key, part.body).has_value();
      (void)OpenValue(key, std::string(part.body)).has_value();
  }
}

void ReadAll(const SessionCatalog& catalog, const SessionRecord& record) {
  const auto tokens = catalog.ReadTokens(record);
  CAIRN_CHECK(!tokens || tokens.value().size() == record.tokens);
  const auto tail = catalog.ReadTail(record);
  CAIRN_CHECK(!tail || tail.value().size() == record.tail_bytes);
  for (uint16_t layer = 0; layer < 2; ++layer) {
    const auto sections = catalog.ReadSections(record, std::nullopt, layer);
    if (!sections) continue;
    for (const SummarySection& section : sections.value()) {
      CAIRN_CHECK(section.count > 0 && section.bytes.size() % section.count == 0);
    }
  }
}

/// As a writer: a fork, a cut, a new name, a commit, then everything is deleted.
void Use(SessionCatalog& catalog, const SessionRecord& record) {
  (void)catalog.Fork(record, "fork", std::nullopt).has_value();
  (void)catalog.Cut(record, {}).has_value();
  (void)catalog.Rename(record.name, "renamed").has_value();
  SessionCommit commit;
  commit.record = record;
  commit.record.tail_bytes = 0;
  (void)catalog.Commit(commit).has_value();
}

void ReadCatalog(std::string_view input) {
  MemoryColdStore store;
  MetaBatch batch;
  FuzzParts parts(input);
  for (FuzzPart part; parts.Next(part);) {
    std::string key = KeyOf(part);
    DecodeAlone(part, key);
    if (key.empty()) continue;
    const bool sealed = static_cast<CatalogPart>(part.kind) != CatalogPart::kUnsealed;
    const auto next = DecodeNext(part.body);
    if (key == kNextKey && next &&
        (next.value().extent > kMostIds || next.value().session > kMostIds)) {
      continue;
    }
    std::string value = sealed ? SealValue(key, std::string(part.body)) : std::string(part.body);
    batch.puts.emplace_back(std::move(key), std::move(value));
  }
  CAIRN_CHECK(store.WriteMeta(batch).has_value());
  for (const bool read_only : {true, false}) {
    auto catalog = SessionCatalog::Open(store, read_only);
    if (!catalog) continue;
    const auto all = catalog.value().List();
    if (!all) continue;
    for (const SessionRecord& record : all.value().sessions) {
      ReadAll(catalog.value(), record);
      if (!read_only) Use(catalog.value(), record);
    }
    if (read_only) continue;
    const auto after = catalog.value().List();
    CAIRN_CHECK(after.has_value());
    for (const auto& gone : after.value().unreadable) {
      (void)catalog.value().Delete(gone.name).has_value();
    }
    for (const auto& gone : after.value().sessions) {
      (void)catalog.value().Delete(gone.name).has_value();
    }
  }
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadCatalog(cairn::test::TextOf(data, size));
  return 0;
}
