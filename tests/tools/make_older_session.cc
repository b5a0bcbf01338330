// make_older_session: gives a session the profile that a cairn of one adapter wrote: an object or
// null as "adapter" in place of the list "adapters". With a hash: makes the text that it read last
// the one that has this hash, as if a cairn had made other tokens of that.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/stored_shape.h"
#include "storage/catalog_format.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_catalog.h"

namespace {

cairn::Status MakeOlder(const std::string& directory, const std::string& session,
                        const std::string& hash) {
  using namespace cairn;
  CAIRN_TRY(auto store, RocksColdStore::Open(directory, RocksColdStoreOptions{}));
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*store, false));
  CAIRN_TRY(auto record, catalog.Find(session));
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  auto profile = nlohmann::json::parse(stored.properties);
  if (hash.empty()) {
    const nlohmann::json adapters = profile.at("adapters");
    profile.erase("adapters");
    profile["adapter"] = adapters.empty() ? nlohmann::json() : adapters.at(0);
  } else {
    profile.at("ingests").back().at("hash") = hash;
  }
  stored.properties = profile.dump();
  record.properties = ToJson(stored);
  const std::string key = SessionKey(session);
  MetaBatch batch;
  batch.puts.emplace_back(key, SealValue(key, EncodeSession(record)));
  return store->WriteMeta(batch);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: make_older_session STORE SESSION [HASH]\n");
    return 2;
  }
  const cairn::Status status = MakeOlder(argv[1], argv[2], argc == 4 ? argv[3] : "");
  if (status.has_value()) return 0;
  std::fprintf(stderr, "make_older_session: %s\n", status.error().message.c_str());
  return 1;
}
