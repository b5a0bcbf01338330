// damage_entry: changes a byte in the catalog of a store, as a failing disk would: in the last
// entry whose key begins with a prefix.
#include <cstdio>
#include <string>

#include "storage/catalog_format.h"
#include "storage/rocks_cold_store.h"

namespace {

cairn::Status Damage(const std::string& directory, const std::string& prefix) {
  using namespace cairn;
  CAIRN_TRY(auto store, RocksColdStore::Open(directory, RocksColdStoreOptions{}));
  CAIRN_TRY(MetaEntries entries, store->ScanMeta(prefix));
  if (entries.empty()) return Fail(Errc::kNotFound, "no key begins with '{}'", prefix);
  auto& [key, value] = entries.back();
  value[value.size() / 2] ^= 1;
  MetaBatch batch;
  batch.puts.emplace_back(key, value);
  return store->WriteMeta(batch);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: damage_entry DIRECTORY PREFIX\n");
    return 2;
  }
  const cairn::Status status = Damage(argv[1], argv[2]);
  if (status.has_value()) return 0;
  std::fprintf(stderr, "damage_entry: %s\n", status.error().message.c_str());
  return 1;
}
