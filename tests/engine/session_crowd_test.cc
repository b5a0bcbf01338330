// Random operations of many sessions, in several threads, against a plain model.
#include "tests/support/session_crowd.h"

#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/support/scratch_directory.h"

namespace cairn {
namespace {

TEST(SessionCrowdTest, ManySessionsInThreadsHoldWhatTheirModelsSay) {
  const test::ScratchDirectory directory;
  test::SessionCrowd crowd(directory.File("store"), TestSeed());
  for (int run = 0; run < 3; ++run) {
    const Status status = crowd.Run(/*threads=*/4, /*operations=*/60);
    ASSERT_TRUE(status.has_value()) << status.error().message;
  }
  // Each kind of operation must have been among them.
  const test::CrowdCounts& counts = crowd.counts();
  for (const auto* count : {&counts.steps, &counts.commits, &counts.opened, &counts.forks,
                            &counts.renamed, &counts.deleted, &counts.moved, &counts.checked}) {
    EXPECT_GT(*count, 0u);
  }
}

}  // namespace
}  // namespace cairn
