#include "storage/rocks_version.h"

#include <rocksdb/version.h>

namespace cairn {

std::string RocksVersion() { return rocksdb::GetRocksVersionAsString(); }

}  // namespace cairn
