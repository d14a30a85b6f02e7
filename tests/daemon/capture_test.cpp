// SPDX-License-Identifier: Apache-2.0
// Captures on real pipes: what arrives, who is too slow, who has left.
#include "daemon/capture.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/daemon/io/io_fixture.hpp"

namespace smartmeterd {
namespace {

class CapturesTest : public testing::Test {
 protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }

  io::Fd open() {
    const auto stream = captures_.open();
    EXPECT_TRUE(stream.has_value());
    return io::Fd(stream.value_or(-1));
  }
  void write(std::string_view text) { captures_.write(meter::bytes_of(text)); }
  /// All that is there now.
  static std::string drain(const io::Fd& fd) {
    std::string text(std::size_t{1024} * 1024, '\0');
    const ssize_t count = ::read(fd.get(), text.data(), text.size());
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

  std::string source_ = "/dev/ttyUSB0";
  Captures captures_{source_};
};

/// An adapter that was pulled may come back as another node.
TEST_F(CapturesTest, TheJournalCallsTheAdapterWhatItIsCalledNow) {
  testing::internal::CaptureStderr();
  io::Fd one = open();
  source_ = "/dev/ttyUSB7";
  one.reset();
  write("abc");
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("/dev/ttyUSB0: capture opened"), std::string::npos) << log;
  EXPECT_NE(log.find("/dev/ttyUSB7: capture ended"), std::string::npos) << log;
}

TEST_F(CapturesTest, EveryClientGetsEveryByte) {
  write("before anybody listens");
  const io::Fd one = open();
  write("abc");
  const io::Fd two = open();
  write(std::string_view("\0\xff", 2));
  EXPECT_EQ(drain(one), std::string("abc\0\xff", 5));
  EXPECT_EQ(drain(two), std::string("\0\xff", 2));
}

// pipe2(2): both ends as it was asked; the client passes none of it on by accident.
TEST_F(CapturesTest, TheStreamIsForOneProcessAndDoesNotBlock) {
  const io::Fd one = open();
  EXPECT_NE(::fcntl(one.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(one.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(one.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  char octet = 0;
  EXPECT_EQ(::read(one.get(), &octet, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(CapturesTest, ASlowClientLosesBytesAndCostsNobodyElse) {
  const io::Fd slow = open(), quick = open();
  const std::string chunk(4096, 'x');
  const auto room = static_cast<std::size_t>(::fcntl(slow.get(), F_GETPIPE_SZ));
  std::size_t got = 0;
  for (std::size_t sent = 0; sent < 2 * room; sent += chunk.size()) {
    write(chunk);
    got += drain(quick).size();
  }
  EXPECT_EQ(got, 2 * room);
  EXPECT_EQ(drain(slow).size(), room);
  write("goes on");
  EXPECT_EQ(drain(slow), "goes on");
}

TEST_F(CapturesTest, AClientThatLeftEndsItsCapture) {
  io::Fd one = open();
  const io::Fd two = open();
  one.reset();
  write("abc");
  EXPECT_EQ(captures_.size(), 1u);
  EXPECT_EQ(drain(two), "abc");
}

TEST_F(CapturesTest, ThereIsALimitWhichThoseWhoLeftDoNotCountFor) {
  std::vector<io::Fd> clients;
  while (clients.size() < Captures::captures_max) clients.push_back(open());
  const auto refused = captures_.open();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error(), EUSERS);
  clients.pop_back();  // and the meter says nothing in between
  clients.push_back(open());
  EXPECT_EQ(captures_.size(), Captures::captures_max);
}

TEST(Captures, EndWithTheirAdapter) {
  const std::string source = "/dev/ttyUSB0";
  io::Fd stream;
  {
    Captures captures(source);
    stream.reset(captures.open().value_or(-1));
    captures.write(meter::bytes_of("last words"));
  }
  char text[16];
  EXPECT_EQ(::read(stream.get(), text, sizeof text), 10);
  EXPECT_EQ(::read(stream.get(), text, sizeof text), 0);
}

}  // namespace
}  // namespace smartmeterd
