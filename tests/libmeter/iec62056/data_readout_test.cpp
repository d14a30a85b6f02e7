// SPDX-License-Identifier: Apache-2.0
// Data readouts through the whole chain: blocks, identifications, clocks, heat meters, errors.
#include <gtest/gtest.h>

#include <string>

#include "meter/decoder.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter {
namespace {

using namespace literals;
using test::Octets;

class Device {
 public:
  explicit Device(DecoderOptions options = {}) : decoder(options, nullptr) {}
  /// Telegrams that came out; the last one is in `readings()`.
  int feed(Bytes octets) {
    test::append(received_, octets);
    return drain();
  }
  int feed(std::string_view text) { return feed(bytes_of(text)); }
  int block(std::string_view lines, unsigned end = 0x03, bool parity = false) {
    return feed(test::iec62056_block(bytes_of(lines), end, parity));
  }
  int finish() {
    decoder.end_of_input();
    return drain();
  }
  const ReadingSet& readings() const { return decoder.readings(); }
  const Reading* find(std::string_view label) const {
    for (std::size_t i = 0; i < readings().details.size(); ++i)
      if (readings().details[i].label == label && readings().details[i].storage == 0)
        return &readings().readings[i];
    return nullptr;
  }
  std::string number(std::string_view label) const {
    const Reading* reading = find(label);
    if (reading == nullptr) return "missing";
    char text[Decimal::text_size_max];
    return std::string(reading->value().to_text(text)) + " " + std::string(symbol(reading->unit()));
  }
  Decoder decoder;

 private:
  /// What was received stays, because texts are views into it.
  int drain() {
    int telegrams = 0;
    for (;;) {
      const Decoder::Step step = decoder.next(Bytes(received_).subspan(consumed_));
      consumed_ += step.consumed;
      if (step.outcome == Decoder::Outcome::telegram) ++telegrams;
      if (step.outcome == Decoder::Outcome::need_more) return telegrams;
    }
  }
  Octets received_;
  std::size_t consumed_ = 0;
};

constexpr std::string_view lines = "0.0.0(110002267)\r\n1.8.0(31550.191*kWh)\r\n!\r\n";

TEST(DataReadout, IsFoundAutomatically) {
  for (const bool parity : {false, true}) {
    Device device;
    EXPECT_EQ(device.block(lines, 0x03, parity), 1);
    EXPECT_EQ(device.decoder.link(), Link::iec62056_21);
    EXPECT_EQ(device.readings().profile, "iec62056-21-block");
    EXPECT_EQ(device.readings().meter_id.view(), "110002267");
    EXPECT_EQ(device.number("1.8.0"), "31550.191 kWh");
  }
}

TEST(DataReadout, AStaleIdentificationDoesNotStick) {
  Device device;
  EXPECT_EQ(device.feed("/LGZ4ZMF100AC.M27\r\n"), 0);
  EXPECT_EQ(device.block("1.8.0(1*kWh)\r\n!\r\n"), 1);
  EXPECT_EQ(device.readings().meter_id.view(), "LGZ4ZMF100AC.M27");
  EXPECT_EQ(device.readings().profile, "iec62056-21-mode-c");
  EXPECT_EQ(device.block("1.8.0(1*kWh)\r\n!\r\n"), 1);
  EXPECT_EQ(device.readings().meter_id.view(), "");
  EXPECT_EQ(device.readings().profile, "iec62056-21-block");
}

TEST(DataReadout, PartialBlocksAreOneTelegram) {
  Device device;
  EXPECT_EQ(device.feed("/LGZ4ZMF100AC.M27\r\n"), 0);
  EXPECT_EQ(device.block("1.8.0(1*kWh)\r\n", 0x04), 0);
  EXPECT_EQ(device.block("2.8.0(2*kWh)\r\n!\r\n"), 1);
  EXPECT_EQ(device.number("1.8.0"), "1 kWh");
  EXPECT_EQ(device.number("2.8.0"), "2 kWh");
  // A new identification ends a readout that was broken off.
  EXPECT_EQ(device.block("1.8.0(1*kWh)\r\n", 0x04), 0);
  EXPECT_EQ(device.feed("/LGZ4ZMF100AC.M27\r\n"), 0);
  EXPECT_EQ(device.block("2.8.0(2*kWh)\r\n!\r\n"), 1);
  EXPECT_EQ(device.find("1.8.0"), nullptr);
}

/// Codes of EN 1434-3, values of an Ultraheat: 6.8 is heat, not reactive energy.
TEST(DataReadout, HeatMeter) {
  Device device({.link = Link::iec62056_21});
  EXPECT_EQ(device.feed("/SIE32WR5\r\n"), 0);
  EXPECT_EQ(device.block("6.8(0029.055*MWh)6.26(01589.28*m3)9.21(00010213)\r\n!\r\n"), 1);
  EXPECT_EQ(device.readings().medium, Medium::heat);
  EXPECT_EQ(device.number("6.8"), "29055 kWh");
  EXPECT_EQ(device.find("6.8")->obis(), "200-0:41.0.0"_obis);
  EXPECT_EQ(device.number("6.26"), "1589.28 m³");
  EXPECT_EQ(device.readings().meter_id.view(), "00010213");
}

TEST(DataReadout, AMetersErrorIsNoTelegram) {
  Device device({.link = Link::iec62056_21});
  EXPECT_EQ(device.block("(ER01)"), 0);
  EXPECT_EQ(device.decoder.refusals()[std::to_underlying(Errc::list_unknown)], 1u);
}

TEST(DataReadout, Clock) {
  Device device({.link = Link::iec62056_21});
  EXPECT_EQ(device.block("0.9.1(21:10:29)\r\n0.9.2(24-03-21)\r\n1.8.0(1*kWh)\r\n!\r\n"), 1);
  ASSERT_TRUE(device.readings().time);
  char text[DateTime::text_size_max];
  EXPECT_TRUE(device.readings().time->to_text(text).starts_with("2024-03-21T21:10:29"));
}

}  // namespace
}  // namespace meter
