// SPDX-License-Identifier: Apache-2.0
// Key files: what is taken, what is refused, and that no message repeats a digit of a key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "daemon/config.hpp"

namespace smartmeterd {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

// Global key and authentication key of the DLMS Green Book's examples.
constexpr auto encryption = "000102030405060708090A0B0C0D0E0F";
constexpr auto authentication = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";

class KeysTest : public testing::Test {
 protected:
  KeysTest() {
    std::string name = fs::temp_directory_path() / "smartmeterd-keys-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    ::unsetenv("CREDENTIALS_DIRECTORY");
  }
  ~KeysTest() override {
    ::unsetenv("CREDENTIALS_DIRECTORY");
    fs::remove_all(directory_);
  }
  fs::path write(std::string_view name, std::string_view text, mode_t mode = 0640) const {
    const auto file = directory_ / name;
    std::ofstream(file) << text;
    ::chmod(file.c_str(), mode);
    return file;
  }
  std::string error(std::string_view text, mode_t mode = 0640) const {
    write("a.toml", text, mode);
    return error();
  }
  std::string error() const {
    try {
      load_keys(directory_);
    } catch (const ConfigError& error) {
      const std::string what = error.what();
      EXPECT_THAT(what, StartsWith(directory_.native()));
      return what.substr(directory_.native().size() + 1);
    }
    return "no error";
  }
  fs::path directory_;
};

TEST_F(KeysTest, NoDirectoryNoKeys) {
  EXPECT_THAT(load_keys(directory_ / "absent"), IsEmpty());
  EXPECT_THAT(load_keys(directory_), IsEmpty());
}

TEST_F(KeysTest, EveryName) {
  const std::string ek = encryption;
  const std::string ak = authentication;
  write("a.toml", "[[key]]\nmeter = \"4B464D1020019999\"\nencryption = \"" + ek +
                      "\"\nauthentication = \"" + ak + "\"\nlabel = \"house\"\n" +
                      "[[key]]\nencryption = \"" + ek + "\"\nauthentication = [\"" + ak + "\", \"" +
                      ek + "\"]\n[[key]]\nencryption = \"" + ek + "\"\n");
  const auto keys = load_keys(directory_);
  ASSERT_THAT(keys, SizeIs(3));
  EXPECT_EQ(keys[0].meter, "4B464D1020019999");
  EXPECT_EQ(keys[0].label, "house");
  EXPECT_THAT(keys[0].authentication, SizeIs(1));
  EXPECT_THAT(keys[0].encryption.octets(), SizeIs(16));
  EXPECT_EQ(keys[0].encryption.octets()[15], std::byte{0x0f});
  EXPECT_THAT(keys[1].authentication, SizeIs(2));
  EXPECT_EQ(keys[2].meter, "*");
  EXPECT_EQ(keys[2].label, "");
  EXPECT_THAT(keys[2].authentication, IsEmpty());
}

TEST_F(KeysTest, FilesInOrderAndTheCredential) {
  const auto one = [](std::string label) {
    return "[[key]]\nencryption = \"" + std::string(encryption) + "\"\nlabel = \"" + label + "\"\n";
  };
  fs::create_directory(directory_ / "credentials");
  write("credentials/meter-keys", one("credential"), 0400);
  write("b.toml", one("b"), 0600);
  write("a.toml", one("a"));
  write("c.toml.bak", one("c"), 0644);
  ::setenv("CREDENTIALS_DIRECTORY", (directory_ / "credentials").c_str(), 1);
  const auto keys = load_keys(directory_);
  ASSERT_THAT(keys, SizeIs(3));
  EXPECT_EQ(keys[0].label, "a");
  EXPECT_EQ(keys[1].label, "b");
  EXPECT_EQ(keys[2].label, "credential");
  ::setenv("CREDENTIALS_DIRECTORY", directory_.c_str(), 1);  // other credentials only
  EXPECT_THAT(load_keys(directory_), SizeIs(2));
}

TEST_F(KeysTest, ReadableByOthersIsRefusedWithTheCommandThatMendsIt) {
  for (const mode_t mode : {0644u, 0642u, 0641u, 0604u})
    EXPECT_THAT(error("", mode),
                AllOf(StartsWith("a.toml: "),
                      HasSubstr("chmod 640 '" + (directory_ / "a.toml").native() + "'")));
  EXPECT_EQ(error("", 0600), "no error");
}

TEST_F(KeysTest, ForeignOwnerIsRefused) {
  const auto file = write("a.toml", "");
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away (kernel)";
  ASSERT_EQ(::chown(file.c_str(), 65534, 65534), 0);
  try {
    load_keys(directory_);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("chown root"));
  }
}

TEST_F(KeysTest, NotAFileIsRefused) {
  fs::create_directory(directory_ / "a.toml");
  EXPECT_THROW(load_keys(directory_), ConfigError);
  fs::remove(directory_ / "a.toml");
  ASSERT_EQ(::mkfifo((directory_ / "a.toml").c_str(), 0600), 0);
  EXPECT_THROW(load_keys(directory_), ConfigError);  // and does not wait for a writer
}

// Also of a size that 32 bits do not hold.
TEST_F(KeysTest, TooLargeIsRefused) {
  for (const std::uintmax_t size : {std::uintmax_t{1} << 20 | 1, std::uintmax_t{1} << 32}) {
    fs::resize_file(write("a.toml", ""), size);  // without taking room on the disk
    EXPECT_EQ(error(), "a.toml: larger than 1 MiB") << size;
  }
}

TEST_F(KeysTest, MistakesNameTheirPlaceAndNoDigits) {
  const auto unquoted = error("[[key]]\nencryption = 900102030405060708090A0B0C0D0E0F\n");
  EXPECT_THAT(unquoted, AllOf(StartsWith("a.toml:2:"), Not(HasSubstr("00010203"))));
  EXPECT_THAT(error("[[key]]\nencryption = 99010203040506070809\n"),
              AllOf(StartsWith("a.toml:2:"), Not(HasSubstr("9901"))));
  EXPECT_THAT(error("[[key]]\nencryption = \"0102030405\"\n"),
              AllOf(StartsWith("a.toml:2:14: encryption: "), Not(HasSubstr("0102"))));
  EXPECT_THAT(error("[[key]]\nD0D1D2D3D4D5 = \"x\"\n"),
              AllOf(StartsWith("a.toml:2:1: "), Not(HasSubstr("D0D1"))));
  EXPECT_THAT(error("[[key]]\nmeter = \"1\"\n"),
              AllOf(StartsWith("a.toml:1:"), HasSubstr("without encryption")));
  EXPECT_THAT(error("[key]\nencryption = \"00\"\n"), HasSubstr("[[key]]"));
  EXPECT_THAT(error("[[keys]]\n"), AllOf(StartsWith("a.toml:1:3: "), HasSubstr("[[key]]")));
  EXPECT_THAT(error("[[key]]\nmeter = 12\n"), HasSubstr("text in quotes"));
  EXPECT_THAT(error("[[key]]\nauthentication = [\"zz\"]\n"),
              AllOf(StartsWith("a.toml:2:19: authentication: "), Not(HasSubstr("zz"))));
}

}  // namespace
}  // namespace smartmeterd
