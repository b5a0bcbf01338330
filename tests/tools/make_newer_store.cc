// make_newer_store: marks an existing store as one of a newer format, as a later cairn would.
#include <cstdio>
#include <string>

#include "storage/catalog_format.h"
#include "storage/rocks_cold_store.h"

namespace {

cairn::Status MarkNewer(const std::string& directory) {
  using namespace cairn;
  CAIRN_TRY(auto store, RocksColdStore::Open(directory, RocksColdStoreOptions{}));
  const std::string key(kFormatKey);
  MetaBatch batch;
  batch.puts.emplace_back(key, SealValue(key, EncodeFormat(kStoreFormatVersion + 1)));
  return store->WriteMeta(batch);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_newer_store DIRECTORY\n");
    return 2;
  }
  const cairn::Status status = MarkNewer(argv[1]);
  if (status.has_value()) return 0;
  std::fprintf(stderr, "make_newer_store: %s\n", status.error().message.c_str());
  return 1;
}
