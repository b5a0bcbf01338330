// FileOperation: what a store asks of a file system, as far as tests make it fail.
#pragma once

namespace cairn::test {

enum class FileOperation { kRead, kWrite, kSync, kCreate, kRename, kLink, kDelete };
inline constexpr FileOperation kFileOperations[] = {
    FileOperation::kRead,   FileOperation::kWrite, FileOperation::kSync,  FileOperation::kCreate,
    FileOperation::kRename, FileOperation::kLink,  FileOperation::kDelete};

/// "read" and so on.
const char* FileOperationName(FileOperation operation);

}  // namespace cairn::test
