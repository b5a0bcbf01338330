// Every read, write, sync, creation, rename, link and deletion of a file may fail, and every write
// may meet a full disk: the store says so, keeps what it was told, and goes on.
#include "store_fixture.h"
#include "tests/support/power_cut_fault_run.h"

namespace cairn {
namespace {

using test::FileOperation;
using test::IoFault;
using test::IoFaultRun;
using test::StoreOperation;

class IoFaults : public testing::TestWithParam<StoreOperation> {};

TEST_P(IoFaults, AreToldAndNothingIsLost) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  IoFaultRun run(directory.path(), random());
  ASSERT_GOOD(run.Prepare());
  for (const FileOperation operation : test::kFileOperations) {
    EXPECT_GOOD(run.Run(GetParam(), {.operation = operation}));
  }
  for (const bool stays : {false, true}) {
    for (const FileOperation operation :
         {FileOperation::kWrite, FileOperation::kSync, FileOperation::kCreate}) {
      EXPECT_GOOD(run.Run(GetParam(), {operation, /*no_space=*/true, stays}));
    }
  }
  std::cout << run.counts().faults << " faults, " << run.counts().errors << " of them told\n";
  EXPECT_GT(run.counts().errors, 0u);
}

std::string OperationName(const testing::TestParamInfo<StoreOperation>& info) {
  std::string name = test::StoreOperationName(info.param);
  std::erase(name, ' ');
  return name;
}

INSTANTIATE_TEST_SUITE_P(In, IoFaults, testing::ValuesIn(test::kStoreOperations), OperationName);

}  // namespace
}  // namespace cairn
