// SPDX-License-Identifier: Apache-2.0
// The session asks, the simulated meter answers: every mode and every fault, without a clock.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "meter/session.hpp"
#include "tools/metersim/meter.hpp"
#include "tools/metersim/responder.hpp"

namespace {

using metersim::Octets;
using metersim::OctetView;
using Outcome = meter::Decoder::Outcome;
using Verdict = meter::Session::Verdict;

/// A line between both, on which time passes when nobody has anything to say.
class Conversation {
 public:
  explicit Conversation(std::string_view name)
      : decoder_({.link = meter::Link::iec62056_21}, nullptr) {
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    meter_ = metersim::find_responder(name)->make(options);
    act(session_->on_start());
  }
  /// True once the session has a telegram.
  bool run() {
    for (int turns = 0; turns < 20 && !telegram_; ++turns) {
      const Octets said = meter_->due(baud_);
      if (!said.empty())
        hear(said);
      else
        act(session_->on_timeout());
    }
    return telegram_;
  }
  const meter::ReadingSet& readings() const { return decoder_.readings(); }
  const std::string& written() const { return written_; }
  const std::vector<unsigned>& speeds() const { return speeds_; }

 private:
  void act(const meter::Session::Action& action) {
    if (action.line && action.line->baud != baud_) {
      baud_ = action.line->baud;
      speeds_.push_back(baud_);
    }
    if (action.write.empty()) return;
    written_ += meter::text_of(action.write);
    const Octets request(
        reinterpret_cast<const std::uint8_t*>(action.write.data()),
        reinterpret_cast<const std::uint8_t*>(action.write.data()) + action.write.size());
    hear(meter_->received(request));
  }
  void hear(const Octets& said) {
    auto rest = std::as_bytes(std::span(said));
    for (;;) {
      const auto step = decoder_.next(rest);
      std::optional<meter::Session::Action> action;
      if (step.outcome == Outcome::telegram) telegram_ = true;
      if (!step.frame.empty())
        action = session_->on_frame(
            step.frame, step.outcome == Outcome::telegram ? Verdict::telegram : Verdict::progress);
      else if (step.outcome == Outcome::rejected)
        action = session_->on_refusal(step.fault.code);
      rest = rest.subspan(step.consumed);
      if (action) act(*action);
      if (telegram_ || step.outcome == Outcome::need_more) return;
    }
  }

  meter::Decoder decoder_;
  std::unique_ptr<meter::Session> session_ = meter::make_session(meter::Link::iec62056_21, {});
  std::unique_ptr<metersim::Responder> meter_;
  std::string written_;
  std::vector<unsigned> speeds_;
  unsigned baud_ = 0;
  bool telegram_ = false;
};

void expect_readout(std::string_view name, std::string_view written,
                    const std::vector<unsigned>& speeds) {
  Conversation conversation(name);
  ASSERT_TRUE(conversation.run()) << conversation.written();
  EXPECT_EQ(conversation.written(), written);
  EXPECT_EQ(conversation.speeds(), speeds);
  EXPECT_EQ(conversation.readings().meter_id.view(), "18438636");
}

TEST(ReadoutMeter, ModeA) {
  expect_readout("mode-a-meter", "/?!\r\n", {300});
}
TEST(ReadoutMeter, ModeB) {
  expect_readout("mode-b-meter", "/?!\r\n", {300, 9600});
}
TEST(ReadoutMeter, ModeC) {
  expect_readout("mode-c-meter",
                 "/?!\r\n\x06"
                 "050\r\n",
                 {300, 9600});
}
TEST(ReadoutMeter, Blocks) {
  expect_readout("mode-c-blocks",
                 "/?!\r\n\x06"
                 "050\r\n\x06",
                 {300, 9600});
}
TEST(ReadoutMeter, WrongCheckOnce) {
  expect_readout("mode-c-bad-check",
                 "/?!\r\n\x06"
                 "050\r\n\x15",
                 {300, 9600});
}
TEST(ReadoutMeter, SilentOnce) {
  expect_readout("mode-c-silent",
                 "/?!\r\n/?!\r\n\x06"
                 "050\r\n",
                 {300, 9600});
}
TEST(ReadoutMeter, Echo) {
  expect_readout("mode-c-echo",
                 "/?!\r\n\x06"
                 "050\r\n",
                 {300, 9600});
}

TEST(ReadoutMeter, SaysNothingBeforeTheReaderHasChangedItsSpeed) {
  const auto meter = metersim::find_responder("mode-c-meter")->make({});
  const auto say = [&](std::string_view text) {
    return meter->received(
        OctetView(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  };
  EXPECT_FALSE(say("/?!\r\n").empty());
  EXPECT_TRUE(say("\x06"
                  "050\r\n")
                  .empty());
  EXPECT_TRUE(meter->due(300).empty());
  EXPECT_FALSE(meter->due(9600).empty());
}

}  // namespace
