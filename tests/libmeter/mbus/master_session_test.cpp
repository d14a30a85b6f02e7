// SPDX-License-Identifier: Apache-2.0
// The master on a simulated bus: who is asked, how, and what is never sent.
#include "meter/mbus/master_session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "meter/base/hex.hpp"
#include "meter/decoder.hpp"

namespace meter::mbus {
namespace {

using Octets = std::vector<std::byte>;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Octets octets(std::string_view hex) {
  Octets out;
  int high = -1;
  for (const char c : hex) {
    const int value = hex_value(c);
    if (value < 0) continue;
    if (high >= 0) out.push_back(static_cast<std::byte>(high << 4 | value));
    high = high >= 0 ? -1 : value;
  }
  return out;
}

std::string hex(Bytes bytes) {
  std::string digits(2 * bytes.size(), '0');
  write_hex(bytes, digits, hex_upper);
  return digits;
}

/// As published with the M-Bus documentation: 12.565 m³ of water.
constexpr std::string_view pad_water =
    "68 1F 1F 68 08 02 72 78 56 34 12 24 40 01 07 55 00 00 00 03 13 15 31 00 DA 02 3B 13 01 "
    "8B 60 04 37 18 02 18 16";

Octets long_frame(unsigned address, std::string_view content) {
  const Octets rest = octets(content);
  Octets frame = octets("68 00 00 68 08");
  frame.push_back(static_cast<std::byte>(address));
  for (const std::byte octet : rest) frame.push_back(octet);
  frame[1] = frame[2] = static_cast<std::byte>(rest.size() + 2);
  unsigned sum = 0;
  for (const std::byte octet : Bytes(frame).subspan(4)) sum += u8(octet);
  frame.push_back(static_cast<std::byte>(sum & 0xff));
  frame.push_back(std::byte{0x16});
  return frame;
}

/// A slave: keeps the frame count bit, and repeats itself where it has not changed.
struct Slave {
  unsigned primary;
  std::string identification;  ///< as sent: "78563412 2440 01 07"
  std::vector<Octets> telegrams;
  bool alive = true;
  bool answers_reset = true;
  bool is_selected = false;
  int last_bit = -1;
  std::size_t at = 0;
  int losses = 0;  ///< answers that do not arrive

  bool matches(Bytes wanted) const {
    const std::string mine = hex(octets(identification)), theirs = hex(wanted);
    for (std::size_t i = 0; i < mine.size(); ++i)
      if (theirs[i] != 'F' && theirs[i] != mine[i]) return false;
    return true;
  }
  Octets answer(Bytes request) {
    if (!alive) return {};
    const unsigned control = u8(request[request[0] == std::byte{0x68} ? 4 : 1]);
    const unsigned address = u8(request[request[0] == std::byte{0x68} ? 5 : 2]);
    if (control == 0x53) {
      is_selected = matches(request.subspan(7, 8));
      return is_selected ? octets("E5") : Octets();
    }
    if (address != primary && !(address == 0xfd && is_selected)) return {};
    if (control == 0x40) {
      last_bit = -1;
      return answers_reset ? octets("E5") : Octets();
    }
    const int bit = control >> 5 & 1;
    if (last_bit < 0) at = 0;
    if (last_bit >= 0 && bit != last_bit) at = (at + 1) % telegrams.size();
    last_bit = bit;
    return losses-- > 0 ? Octets() : telegrams[at];
  }
};

Slave slave(unsigned primary, std::string_view number, std::string_view medium) {
  std::string sent;
  for (const unsigned at : {6u, 4u, 2u, 0u}) sent += number.substr(at, 2);
  sent += "2D2C01";
  sent += medium;
  return {primary, sent, {long_frame(primary, "72" + sent + "00000000 0C1301420000")}};
}

/// What is sent at once is one signal: a space (0) wins.
struct Bus {
  std::vector<Slave> slaves;
  bool echo = false;
  Octets answer(Bytes request) {
    Octets signal;
    for (Slave& one : slaves) {
      const Octets part = one.answer(request);
      for (std::size_t i = 0; i < part.size(); ++i)
        if (i < signal.size())
          signal[i] &= part[i];
        else
          signal.push_back(part[i]);
    }
    if (echo) signal.insert(signal.begin(), request.begin(), request.end());
    return signal;
  }
};

/// Carries a session out as its owner does.
struct Master {
  explicit Master(std::vector<std::string> addresses, Bus& connected)
      : bus(connected), decoder({.link = Link::mbus_master}, nullptr) {
    SessionOptions options;
    options.addresses = std::move(addresses);
    session = make_session(Link::mbus_master, options);
  }
  void run_round() {
    heard.clear();
    written.clear();
    waited = {};
    auto action = started ? session->on_timeout() : session->on_start();
    started = true;
    for (int i = 0; i < 5000; ++i) {
      if (action.write.empty()) {
        EXPECT_EQ(action.wake_after, session->interval());
        return;
      }
      written.push_back(hex(action.write));
      ASSERT_TRUE(action.wake_after);
      waited += *action.wake_after;
      const Octets signal = bus.answer(action.write);
      action = receive(signal);
    }
    FAIL() << "no end";
  }
  /// The last action that something came of.
  Session::Action receive(Bytes signal) {
    Session::Action last;
    if (take(signal, last)) return last;
    decoder.silence();
    if (take({}, last)) return last;
    return session->on_timeout();
  }
  bool take(Bytes signal, Session::Action& last) {
    pending.insert(pending.end(), signal.begin(), signal.end());
    bool is_new = false;
    for (;;) {
      const auto step = decoder.next(pending);
      if (step.outcome == Decoder::Outcome::telegram)
        heard.emplace_back(decoder.readings().meter_id.view());
      refusals += step.outcome == Decoder::Outcome::rejected;
      Session::Action action;
      if (!step.frame.empty())
        action = session->on_frame(step.frame, Session::Verdict::progress);
      else if (step.outcome != Decoder::Outcome::need_more)
        action = session->on_refusal(Errc::line_noise);
      pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(step.consumed));
      if (action.wake_after) {
        last = action;
        is_new = true;
      }
      if (step.outcome == Decoder::Outcome::need_more) return is_new;
    }
  }

  Bus& bus;
  Decoder decoder;
  std::unique_ptr<Session> session;
  Octets pending;
  std::vector<std::string> heard, written;
  std::chrono::milliseconds waited{};
  unsigned refusals = 0;
  bool started = false;
};

TEST(SlaveAddress, Texts) {
  for (const char* good :
       {"0", "250", "12345678", "12345678FFFFFFFF", "1234FFFF", "search", "1234567824400107"})
    EXPECT_TRUE(slave_address(good)) << good;
  for (const char* bad :
       {"", "251", "-1", "1x", "1234567", "1234567A", "123456789", "abc", "12345678FFFFFFFG"})
    EXPECT_FALSE(slave_address(bad)) << bad;
  EXPECT_TRUE(slave_address("1234567F")->is_pattern());
  EXPECT_FALSE(slave_address("12345678FFFFFFFF")->is_pattern());
}

TEST(MasterSession, PrimaryAddress) {
  Bus bus{
      {{1, "7856341224400107", {long_frame(1, "72 78563412 2440 01 07 55 00 0000 0315310000")}}}};
  Master master({"1"}, bus);
  master.run_round();
  EXPECT_THAT(master.written, ElementsAre("1040014116", "107B017C16"));  // published frames
  EXPECT_THAT(master.heard, ElementsAre("12345678"));
  EXPECT_EQ(master.refusals, 0u);
}

TEST(MasterSession, SecondaryAddress) {
  Bus bus{{{2, "7856341224400107", {octets(pad_water)}}, slave(1, "87654321", "04")}};
  Master master({"1234567824400107"}, bus);
  master.run_round();
  // Published: selection of 12345678 PAD 01 07, REQ_UD2 to FD.
  EXPECT_THAT(master.written, ElementsAre("680B0B6853FD527856341224400107"
                                          "2216",
                                          "107BFD7816"));
  EXPECT_THAT(master.heard, ElementsAre("12345678"));
  master.run_round();
  EXPECT_THAT(master.written, ElementsAre("680B0B6853FD527856341224400107"
                                          "2216",
                                          "105BFD5816"));
  EXPECT_THAT(master.heard, ElementsAre("12345678"));
}

TEST(MasterSession, SearchOfOneSlave) {
  Bus bus{{slave(9, "87654321", "04")}};
  Master master({}, bus);
  master.run_round();
  EXPECT_THAT(master.written, ElementsAre("680B0B6853FD52FFFFFFFFFFFFFFFF9A16", "107BFD7816"));
  EXPECT_THAT(master.heard, ElementsAre("87654321"));
  master.run_round();  // by its own address
  EXPECT_EQ(master.written.front().substr(14, 16), "214365872D2C0104");
  EXPECT_EQ(master.written.size(), 2u);
  EXPECT_THAT(master.heard, ElementsAre("87654321"));
}

TEST(MasterSession, SearchThroughCollisions) {
  Bus bus{{slave(1, "12345678", "07"), slave(1, "12395678", "04"), slave(2, "12345679", "07"),
           slave(3, "90000001", "04")}};
  Master master({"search"}, bus);
  master.run_round();
  EXPECT_THAT(master.heard, UnorderedElementsAre("12345678", "12345679", "12395678", "90000001"));
  EXPECT_GT(master.refusals, 0u);
  EXPECT_LT(master.written.size(), 150u);
  const unsigned refusals = master.refusals;
  master.run_round();
  EXPECT_THAT(master.heard, UnorderedElementsAre("12345678", "12345679", "12395678", "90000001"));
  EXPECT_EQ(master.written.size(), 8u);
  EXPECT_EQ(master.refusals, refusals);
}

TEST(MasterSession, SearchOfAPattern) {
  Bus bus{{slave(1, "12345678", "07"), slave(2, "22345678", "07")}};
  Master master({"1FFFFFFF"}, bus);
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("12345678"));
}

TEST(MasterSession, NobodyIsSearchedForAgain) {
  Bus bus{{slave(1, "12345678", "07")}};
  bus.slaves[0].alive = false;
  Master master({}, bus);
  master.run_round();
  EXPECT_THAT(master.heard, IsEmpty());
  bus.slaves[0].alive = true;
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("12345678"));
}

TEST(MasterSession, ANewcomerIsFoundLater) {
  Bus bus{{slave(1, "12345678", "07")}};
  Master master({}, bus);
  master.run_round();
  bus.slaves.push_back(slave(2, "87654321", "04"));
  for (unsigned i = 0; i <= MasterSession::rounds_between_searches; ++i) master.run_round();
  master.run_round();
  EXPECT_THAT(master.heard, UnorderedElementsAre("12345678", "87654321"));
}

TEST(MasterSession, ADeadSlaveDoesNotHoldUpTheOthers) {
  Bus bus{{slave(1, "11111111", "07"), slave(2, "22222222", "04"), slave(3, "33333333", "07")}};
  Master master({"1", "2", "33333333"}, bus);
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("11111111", "22222222", "33333333"));
  bus.slaves[1].alive = bus.slaves[2].alive = false;
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("11111111"));
  EXPECT_EQ(master.written.size(), 2u + 2 * (1 + MasterSession::retries));
  master.run_round();
  EXPECT_EQ(master.written.size(), 2u + 2u);  // each is tried once
  EXPECT_LT(master.waited, std::chrono::seconds(3));
  bus.slaves[1].alive = bus.slaves[2].alive = true;
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("11111111", "22222222", "33333333"));
}

TEST(MasterSession, ASlaveThatIgnoresSndNke) {
  Bus bus{{slave(1, "11111111", "07")}};
  bus.slaves[0].answers_reset = false;
  Master master({"1"}, bus);
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("11111111"));
}

TEST(MasterSession, ALostAnswerIsAskedForAgainWithTheSameFrameCountBit) {
  Bus bus{{slave(1, "11111111", "07")}};
  bus.slaves[0].losses = 2;
  Master master({"1"}, bus);
  master.run_round();
  EXPECT_THAT(master.written, ElementsAre("1040014116", "107B017C16", "107B017C16", "107B017C16"));
  EXPECT_THAT(master.heard, ElementsAre("11111111"));
}

TEST(MasterSession, ADamagedAnswerIsAskedForAgain) {
  Bus bus{{slave(1, "11111111", "07")}};
  const Octets whole = bus.slaves[0].telegrams[0];
  for (const bool is_cut : {false, true}) {
    if (is_cut)
      bus.slaves[0].telegrams[0].resize(20);
    else
      bus.slaves[0].telegrams[0][15] ^= std::byte{4};
    Master master({"1"}, bus);
    master.run_round();
    EXPECT_THAT(master.heard, IsEmpty());
    EXPECT_EQ(master.written.size(), 2 + MasterSession::retries);
    bus.slaves[0].telegrams[0] = whole;
    master.run_round();
    EXPECT_THAT(master.heard, ElementsAre("11111111"));
  }
}

TEST(MasterSession, EchoOfItsOwnOctets) {
  Bus bus{{slave(1, "12345678", "07"), slave(2, "87654321", "04")}};
  bus.echo = true;
  Master master({"1", "87654321"}, bus);
  master.run_round();
  EXPECT_THAT(master.heard, ElementsAre("12345678", "87654321"));
  EXPECT_EQ(master.refusals, 0u);
  EXPECT_EQ(master.written.size(), 4u);
  Master search({}, bus);
  search.run_round();
  EXPECT_THAT(search.heard, UnorderedElementsAre("12345678", "87654321"));
}

TEST(MasterSession, ReadoutOfTwoTelegrams) {
  Slave two{1, "785634122D2C0107", {}};
  two.telegrams = {long_frame(1, "72 78563412 2D2C 01 07 01 00 0000 0C1301420000 1F"),
                   long_frame(1, "72 78563412 2D2C 01 07 02 00 0000 4C1300410000")};
  Bus bus{{two}};
  Master master({"1"}, bus);
  master.run_round();
  EXPECT_THAT(master.written, ElementsAre("1040014116", "107B017C16", "105B015C16"));
  EXPECT_THAT(master.heard, ElementsAre("12345678", "12345678"));
}

TEST(MasterSession, ASlaveThatNeverEnds) {
  Bus bus{{{1, "785634122D2C0107", {long_frame(1, "72 78563412 2D2C 01 07 01 00 0000 1F")}}}};
  Master master({"1"}, bus);
  master.run_round();
  EXPECT_EQ(master.written.size(), 1 + MasterSession::telegrams_max);
}

TEST(MasterSession, WaitsAsLongAsTheAnswerMayTakeAtThatSpeed) {
  for (const unsigned baud : {300u, 2400u, 9600u}) {
    SessionOptions options{
        .interval = {}, .addresses = {"1"}, .line = {baud, 8, 'E'}, .iec62056 = {}};
    const auto session = make_session(Link::mbus_master, options);
    (void)session->on_start();
    const auto request = session->on_frame(octets("E5"), Session::Verdict::progress);
    ASSERT_TRUE(request.wake_after);
    // 330 bit times and 50 ms, then 261 characters of 11 bits; 5 of them were the request.
    EXPECT_GE(request.wake_after->count(), 50 + (330 + (261 + 5) * 11) * 1000 / baud);
  }
}

/// SND_NKE, selection (CI 52) and REQ_UD2: there are no others.
bool is_harmless(Bytes request) {
  const std::string digits = hex(request);
  if (request.size() == 5) {
    const std::string control = digits.substr(0, 4);
    return control == "1040" || control == "105B" || control == "107B";
  }
  return request.size() == 17 && digits.starts_with("680B0B6853FD52") && digits.ends_with("16");
}

TEST(MasterSession, NothingElseIsEverSent) {
  std::mt19937 random(1);
  const std::vector<Octets> answers = {octets("E5"),
                                       octets(pad_water),
                                       octets("10 40 F0 30 16"),
                                       octets("68 03 03 68 53 FE BD 0E 16"),
                                       long_frame(1, "72 78563412 2D2C 01 07 01 00 0000 1F"),
                                       long_frame(1, "70 08")};
  for (int i = 0; i < 300; ++i) {
    SessionOptions options;
    for (const char* text : {"1", "12345678", "1234FFFF", "search", "999", "\x01zz"})
      if (random() % 2 != 0) options.addresses.emplace_back(text);
    const auto session = make_session(Link::mbus_master, options);
    auto action = session->on_start();
    for (int k = 0; k < 300; ++k) {
      EXPECT_TRUE(action.write.empty() || is_harmless(action.write)) << hex(action.write);
      EXPECT_FALSE(action.line);
      Octets octets_in(random() % 20);
      for (std::byte& octet : octets_in) octet = static_cast<std::byte>(random());
      switch (random() % 4) {
        case 0:
          action = session->on_timeout();
          break;
        case 1:
          action = session->on_refusal(static_cast<Errc>(random() % errc_count));
          break;
        case 2:
          action = session->on_frame(octets_in, Session::Verdict::rejected);
          break;
        default:
          action =
              session->on_frame(answers[random() % answers.size()], Session::Verdict::telegram);
      }
    }
  }
}

}  // namespace
}  // namespace meter::mbus
