// Who gives pins back.
#include "storage/pin_holders.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

struct Holder final : PinHolder {
  explicit Holder(PinHolders* all) : holders(all) { holders->Join(*this); }
  ~Holder() override { holders->Leave(*this); }

  bool GiveBack() override {
    const bool gives = has && !in_use;
    if (gives) has = false;
    return gives;
  }

  PinHolders* holders;
  bool has = true, in_use = false;
};

TEST(PinHolders, WhoeverIsAtRestLongestGives) {
  PinHolders holders;
  Holder a(&holders), b(&holders), c(&holders);
  holders.Rest(a);
  EXPECT_TRUE(holders.GiveBack());
  EXPECT_TRUE(a.has && !b.has && c.has);
  b.has = true;
  holders.Rest(b);
  EXPECT_TRUE(holders.GiveBack());
  EXPECT_TRUE(a.has && b.has && !c.has);
}

TEST(PinHolders, WhoeverUsesTheirsKeepsThem) {
  PinHolders holders;
  Holder a(&holders), b(&holders);
  a.in_use = true;
  EXPECT_TRUE(holders.GiveBack());
  EXPECT_TRUE(a.has && !b.has);
  EXPECT_FALSE(holders.GiveBack());
  EXPECT_TRUE(a.has);
}

TEST(PinHolders, WhoHasLeftIsNotAsked) {
  PinHolders holders;
  EXPECT_FALSE(holders.GiveBack());
  { const Holder gone(&holders); }
  EXPECT_FALSE(holders.GiveBack());
}

}  // namespace
}  // namespace cairn
