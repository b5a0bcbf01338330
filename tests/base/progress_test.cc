#include "base/progress.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(ProgressTest, FormatsDurations) {
  EXPECT_EQ(FormatDuration(0), "0:00");
  EXPECT_EQ(FormatDuration(65), "1:05");
  EXPECT_EQ(FormatDuration(599.2), "9:59");
  EXPECT_EQ(FormatDuration(2 * 3600 + 3 * 60 + 9), "2:03:09");
}

TEST(ProgressTest, IsSilentWhenQuiet) {
  testing::internal::CaptureStderr();
  {
    Progress progress(true);
    EXPECT_FALSE(progress.Due());
    progress.Show("line");
    progress.Finish();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace cairn
