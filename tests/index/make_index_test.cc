#include <gtest/gtest.h>

#include "index/landmark_index.h"

namespace cairn {
namespace {

IndexOptions Valid() {
  IndexOptions options;
  options.partitions = 2;
  options.dim = 64;
  return options;
}

TEST(MakeIndex, MakesTheKindAskedFor) {
  IndexOptions options = Valid();
  EXPECT_EQ(MakeIndex(options).value()->name(), "auto");
  options.dtype = DType::kF32;
  EXPECT_EQ(MakeIndex(options).value()->name(), "exact");
  options.kind = IndexKind::kExact;
  EXPECT_EQ(MakeIndex(options).value()->name(), "exact");
  options.kind = IndexKind::kInt8;
  EXPECT_EQ(MakeIndex(options).value()->name(), "int8");
  options.kind = IndexKind::kLists;
  EXPECT_EQ(MakeIndex(options).value()->name(), "lists");
  options.kind = IndexKind::kFaiss;
  EXPECT_EQ(MakeIndex(options).value()->name(), "faiss");
}

TEST(MakeIndex, RefusesBadOptions) {
  const auto refused = [](const IndexOptions& options) {
    const auto index = MakeIndex(options);
    return index.has_error() && index.error().code == Errc::kInvalidArgument;
  };
  IndexOptions options = Valid();
  options.partitions = 0;
  EXPECT_TRUE(refused(options));
  options = Valid();
  options.dim = 0;
  EXPECT_TRUE(refused(options));
  options = Valid();
  options.representatives = 0;
  EXPECT_TRUE(refused(options));
  options.representatives = 257;
  EXPECT_TRUE(refused(options));
  options = Valid();
  options.dtype = DType::kF16;
  EXPECT_TRUE(refused(options));
  EXPECT_FALSE(refused(Valid()));
}

TEST(MakeIndex, ParsesKinds) {
  EXPECT_EQ(ParseIndexKind("auto").value(), IndexKind::kAuto);
  EXPECT_EQ(ParseIndexKind("exact").value(), IndexKind::kExact);
  EXPECT_EQ(ParseIndexKind("int8").value(), IndexKind::kInt8);
  EXPECT_EQ(ParseIndexKind("lists").value(), IndexKind::kLists);
  EXPECT_EQ(ParseIndexKind("faiss").value(), IndexKind::kFaiss);
  const auto bad = ParseIndexKind("hnsw");
  for (const IndexKind kind : {IndexKind::kAuto, IndexKind::kExact, IndexKind::kInt8,
                               IndexKind::kLists, IndexKind::kFaiss}) {
    EXPECT_EQ(ParseIndexKind(IndexKindName(kind)).value(), kind);
  }
  ASSERT_TRUE(bad.has_error());
  EXPECT_EQ(bad.error().code, Errc::kInvalidArgument);
  EXPECT_NE(bad.error().message.find("hnsw"), std::string::npos);
}

}  // namespace
}  // namespace cairn
