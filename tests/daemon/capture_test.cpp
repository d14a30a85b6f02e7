// SPDX-License-Identifier: Apache-2.0
// Captures on real pipes: what arrives, who is too slow, who has left.
#include "daemon/capture.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/version.hpp"
#include "tests/counted_new.hpp"
#include "tests/daemon/fake_kernel.hpp"
#include "tests/daemon/io/io_fixture.hpp"
#include "tests/golden_capture.hpp"

namespace smartmeterd {
namespace {

class CapturesTest : public testing::Test {
 protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }

  io::Fd open(CaptureFormat format = CaptureFormat::raw) {
    const auto stream = captures_.open(format);
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

  test::FakeLoop loop_;
  Adapter adapter_ = [] {
    Adapter adapter;
    adapter.name = "usb-m-bus";
    adapter.device = "/dev/ttyUSB0";
    return adapter;
  }();
  Captures captures_{adapter_, loop_};
};

/// An adapter that was pulled may come back as another node.
TEST_F(CapturesTest, TheJournalCallsTheAdapterWhatItIsCalledNow) {
  testing::internal::CaptureStderr();
  io::Fd one = open();
  adapter_.device = "/dev/ttyUSB7";
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
  const auto refused = captures_.open(CaptureFormat::raw);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error(), EUSERS);
  clients.pop_back();  // and the meter says nothing in between
  clients.push_back(open());
  EXPECT_EQ(captures_.size(), Captures::captures_max);
}

TEST(Captures, EndWithTheirAdapter) {
  test::FakeLoop loop;
  const Adapter adapter;
  io::Fd stream;
  {
    Captures captures(adapter, loop);
    stream.reset(captures.open(CaptureFormat::raw).value_or(-1));
    captures.write(meter::bytes_of("last words"));
  }
  char text[16];
  EXPECT_EQ(::read(stream.get(), text, sizeof text), 10);
  EXPECT_EQ(::read(stream.get(), text, sizeof text), 0);
}

// ---- the text of smartmeter-capture(5) ----------------------------------------------------------

class TimedCapturesTest : public CapturesTest {
 protected:
  /// Moves the clock to so long after the capture's start.
  void at(std::chrono::microseconds time) { loop_.pass(begin_ + time - loop_.now()); }
  void begin() { begin_ = loop_.now(); }
  static std::size_t count(std::string_view text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t i = text.find(part); i != text.npos; i = text.find(part, i + 1)) ++found;
    return found;
  }

  io::TimePoint begin_{};
};

TEST_F(TimedCapturesTest, WriteTheTextThatTheToolsRead) {
  using namespace std::chrono;
  const sys_days day = 2026y / November / 27;
  const auto start = day + 3h + 20min + 123456us;
  loop_.pass(start.time_since_epoch() - loop_.now().time_since_epoch());
  adapter_.kind = adapter_.protocol = "mbus";
  adapter_.line = "2400-8E1";
  std::optional<Captures> captures(std::in_place, adapter_, loop_);
  captures->opened();
  captures->counters({.framing = 7});
  begin();
  const io::Fd stream(captures->open(CaptureFormat::timed).value_or(-1));
  std::vector<std::byte> octets;
  for (int i = 0; i < 40; ++i) octets.push_back(static_cast<std::byte>(i));
  at(250ms);
  captures->counters({.framing = 7});
  captures->write(octets);
  at(1500ms);
  captures->counters({.framing = 9});
  captures->write(meter::bytes_of("\x68"));
  at(2s);
  adapter_.line = "9600-8N1";
  captures->line_changed();
  captures->rejected({meter::Errc::bad_checksum, 17});
  at(3000001us);
  captures->write(meter::bytes_of("\xff"));
  at(61s);
  captures->closed("unplugged");
  captures->closed("it fails again");
  at(65s);
  adapter_.device = "/dev/ttyUSB7";
  adapter_.line = "2400-8E1";
  captures->opened();
  captures.reset();
  std::string expected(golden::capture);
  expected.replace(expected.find("1.2.3"), 5, version);
  EXPECT_EQ(drain(stream), expected);
  char octet = 0;
  EXPECT_EQ(::read(stream.get(), &octet, 1), 0);
}

TEST_F(TimedCapturesTest, APortThatIsNotOpenIsToldAtOnce) {
  const io::Fd stream = open(CaptureFormat::timed);
  EXPECT_TRUE(drain(stream).ends_with("Z\n#at +0.000000\n#closed\n"));
}

TEST_F(TimedCapturesTest, APortThatClosesForNoKnownReasonIsClosedEvenSo) {
  captures_.opened();
  const io::Fd stream = open(CaptureFormat::timed);
  drain(stream);
  captures_.closed("");
  EXPECT_EQ(drain(stream), "#closed\n");
}

TEST_F(TimedCapturesTest, RawCapturesGetNoWords) {
  const io::Fd raw = open(), timed = open(CaptureFormat::timed);
  EXPECT_TRUE(captures_.wants_counters());
  captures_.opened();
  captures_.counters({.parity = 3});
  captures_.rejected({meter::Errc::bad_checksum, 0});
  write("\x10\x20");
  captures_.closed("unplugged");
  EXPECT_EQ(drain(raw), "\x10\x20");
  EXPECT_NE(drain(timed).find("#error parity 3\n#rejected bad-checksum 0\n1020\n#closed"),
            std::string::npos);
}

/// Where nobody wants times the port is not asked for its counters; what it counted meanwhile was
/// before the capture.
TEST_F(TimedCapturesTest, OnlyErrorsSinceTheStartAreTold) {
  EXPECT_FALSE(captures_.wants_counters());
  io::Fd stream = open(CaptureFormat::timed);
  captures_.counters({.framing = 5});
  stream.reset();
  write("x");
  EXPECT_FALSE(captures_.wants_counters());
  captures_.counters({.framing = 50});
  stream = open(CaptureFormat::timed);
  captures_.counters({.framing = 51});
  EXPECT_NE(drain(stream).find("#error framing 1\n"), std::string::npos);
  captures_.opened();  // counts from zero again
  captures_.counters({.framing = 2});
  EXPECT_NE(drain(stream).find("#error framing 2\n"), std::string::npos);
}

// pipe(7): a write of at most PIPE_BUF bytes is there as a whole, or fails.
TEST_F(TimedCapturesTest, ASlowReaderLosesWholeRecordsAndIsToldHowMuch) {
  captures_.opened();
  adapter_.line = "2400-8E1";
  const io::Fd slow = open(CaptureFormat::timed);
  const std::string chunk(4096, '\xab');
  std::size_t sent = 0;
  for (int i = 0; i < 40; ++i, sent += chunk.size()) {
    loop_.pass(std::chrono::milliseconds(1));
    write(chunk);
  }
  const std::string before = drain(slow);
  EXPECT_TRUE(before.ends_with('\n')) << "no half record";
  EXPECT_EQ(count(before, "#lost"), 0u);
  loop_.pass(std::chrono::seconds(1));
  write("\x16");
  const std::size_t lost = sent - count(before, "AB");
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(drain(slow),
            "#at +1.040000\n#lost " + std::to_string(lost) + "\n#line 2400-8E1\n16\n");
  loop_.pass(std::chrono::seconds(1));
  write("\x16");
  EXPECT_EQ(drain(slow), "#at +2.040000\n16\n") << "told once";
}

TEST_F(TimedCapturesTest, NothingAllocatesWhileBytesCome) {
  const io::Fd raw = open(), timed = open(CaptureFormat::timed);
  adapter_.line = "2400-8E1";
  const std::string chunk(4096, 'x');
  loop_.pass(std::chrono::milliseconds(1));
  const std::size_t before = allocations;
  for (int i = 0; i < 40; ++i) {  // more than a pipe holds
    captures_.counters({.framing = static_cast<std::uint64_t>(i)});
    write(chunk);
    captures_.line_changed();
    captures_.rejected({meter::Errc::bad_checksum, 1});
    captures_.opened();
    captures_.closed("unplugged");
  }
  EXPECT_EQ(allocations, before);
}

TEST_F(TimedCapturesTest, WhatAPersonNamedBreaksNoLine) {
  adapter_.device = "/dev/x\n#end" + std::string(500, 'y');
  const io::Fd stream = open(CaptureFormat::timed);
  const std::string text = drain(stream);
  EXPECT_NE(text.find("#device /dev/x?#endyyy"), std::string::npos);
  EXPECT_LT(text.size(), 500u);
}

TEST_F(TimedCapturesTest, AReaderThatLeftEndsItsCapture) {
  io::Fd stream = open(CaptureFormat::timed);
  stream.reset();
  captures_.opened();
  EXPECT_EQ(captures_.size(), 0u);
}

}  // namespace
}  // namespace smartmeterd
