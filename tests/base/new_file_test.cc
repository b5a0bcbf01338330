#include "base/new_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace cairn {
namespace {

namespace fs = std::filesystem;

class NewFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/cairn_new_file_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string In(const std::string& name) const { return directory_ + "/" + name; }
  static void Put(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string Text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t Entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(directory_), {}));
  }

  std::string directory_;
};

TEST_F(NewFileTest, TakesItsNameWhenItIsWhole) {
  Put(In("a"), "old");
  {
    auto file = NewFile::Create(In("a"));
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(file.value().Write("ne").has_value());
    EXPECT_EQ(Text(In("a")), "old");
    ASSERT_TRUE(file.value().Write("w").has_value());
    ASSERT_TRUE(file.value().Finish().has_value());
  }
  EXPECT_EQ(Text(In("a")), "new");
  ASSERT_TRUE(NewFile::Create(In("a")).has_value());  // and given up
  EXPECT_EQ(Text(In("a")), "new");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(NewFileTest, WhatIsBesideItStays) {
  Put(In("a.new"), "mine");
  Put(In("precious"), "precious");
  fs::create_symlink("precious", In("a.new2"));
  ASSERT_TRUE(WriteNewFile(In("a"), "text").has_value());
  EXPECT_EQ(Text(In("a")), "text");
  EXPECT_EQ(Text(In("a.new")), "mine");
  EXPECT_EQ(Text(In("precious")), "precious");
  EXPECT_TRUE(fs::is_symlink(In("a.new2")));
  EXPECT_EQ(Entries(), 4u);
}

TEST_F(NewFileTest, LinksAreFollowedAndStay) {
  fs::create_directory(In("sub"));
  Put(In("sub/there"), "old");
  fs::create_symlink("sub/there", In("link"));
  fs::create_symlink(In("link"), In("second"));
  fs::create_symlink("sub/not_yet", In("dangling"));
  for (const char* name : {"second", "dangling"}) {
    ASSERT_TRUE(NewFile::Check(In(name)).has_value());
    ASSERT_TRUE(WriteNewFile(In(name), name).has_value());
    EXPECT_TRUE(fs::is_symlink(In(name)));
  }
  EXPECT_TRUE(fs::is_symlink(In("link")));
  EXPECT_EQ(Text(In("sub/there")), "second");
  EXPECT_EQ(Text(In("sub/not_yet")), "dangling");
  fs::create_symlink("loop", In("loop"));
  const Status looped = WriteNewFile(In("loop"), "x");
  ASSERT_FALSE(looped.has_value());
  EXPECT_NE(looped.error().message.find("cannot write " + In("loop")), std::string::npos);
}

TEST_F(NewFileTest, APipeIsWrittenToAndStays) {
  ASSERT_EQ(mkfifo(In("pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", In("link"));
  ASSERT_TRUE(NewFile::Check(In("pipe")).has_value());
  for (const char* name : {"pipe", "link"}) {
    std::string got;
    std::thread reader([&] { got = Text(In("pipe")); });
    EXPECT_TRUE(WriteNewFile(In(name), "through").has_value());
    reader.join();
    EXPECT_EQ(got, "through");
    EXPECT_TRUE(fs::is_fifo(In("pipe")));
  }
  EXPECT_EQ(Entries(), 2u);
}

TEST_F(NewFileTest, WaitingForAReaderCanBeStopped) {
  ASSERT_EQ(mkfifo(In("pipe").c_str(), 0600), 0);
  static int asked;
  asked = 0;
  NewFile::StopWaitingIf([] { return ++asked == 3; });
  const Status status = WriteNewFile(In("pipe"), "nobody reads this");
  NewFile::StopWaitingIf(nullptr);
  EXPECT_EQ(asked, 3);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kInterrupted);
  EXPECT_NE(status.error().message.find("nobody has read the pipe " + In("pipe")),
            std::string::npos);
}

TEST_F(NewFileTest, AnErrorOfWritingIsTold) {
  ASSERT_EQ(mkfifo(In("pipe").c_str(), 0600), 0);
  const int reader = open(In("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  auto file = NewFile::Create(In("pipe"));
  ASSERT_TRUE(file.has_value());
  close(reader);
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  const Status status = file.value().Write("nobody reads this");
  std::signal(SIGPIPE, before);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kIo);
  EXPECT_NE(status.error().message.find("cannot write " + In("pipe")), std::string::npos);
}

TEST_F(NewFileTest, ADeviceIsWrittenToAndStays) {
  // Nodes of its own with the numbers of /dev/null and /dev/full.
  if (mknod(In("null").c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0 ||
      mknod(In("full").c_str(), S_IFCHR | 0600, makedev(1, 7)) != 0 ||
      !std::ofstream(In("null")).is_open()) {
    GTEST_SKIP()
        << "mknod of a device takes the rights of root, and a file system that has devices";
  }
  ASSERT_TRUE(WriteNewFile(In("null"), "text").has_value());
  const Status full = WriteNewFile(In("full"), "text");
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, Errc::kOutOfSpace);
  for (const char* name : {"null", "full"}) EXPECT_TRUE(fs::is_character_file(In(name)));
  EXPECT_EQ(Entries(), 2u);
}

TEST_F(NewFileTest, SaysBeforeTheWorkWhatCannotBe) {
  EXPECT_TRUE(NewFile::Check("").has_value());
  EXPECT_TRUE(NewFile::Check(In("a")).has_value());
  const Status folder = NewFile::Check(directory_);
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().message, directory_ + " is a directory; name a file");
  const Status nowhere = NewFile::Check(In("no/a"));
  ASSERT_FALSE(nowhere.has_value());
  EXPECT_EQ(nowhere.error().code, Errc::kNotFound);
  EXPECT_NE(nowhere.error().message.find("there is no directory " + In("no")), std::string::npos);
  EXPECT_EQ(Entries(), 0u);
}

}  // namespace
}  // namespace cairn
