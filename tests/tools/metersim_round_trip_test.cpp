// SPDX-License-Identifier: Apache-2.0
// What the simulator says it sends is what the decoder reads: every family, with and without
// encryption. Encoder and decoder share no code, so neither can hide the other's mistake.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "meter/decoder.hpp"
#include "meter/quantity.hpp"
#include "tools/metersim/meter.hpp"

namespace {

using metersim::Family;
using metersim::Octets;
using metersim::Telegram;

std::shared_ptr<const meter::dlms::KeyRing> test_keys(bool with_authentication_key) {
  const Octets key = metersim::test_key(), authentication = metersim::test_authentication_key();
  meter::dlms::KeyEntry entry{
      "*", *meter::dlms::EncryptionKey::from_octets(std::as_bytes(std::span(key))), {}, {}};
  if (with_authentication_key)
    entry.authentication.push_back(
        *meter::dlms::AuthenticationKey::from_octets(std::as_bytes(std::span(authentication))));
  std::vector<meter::dlms::KeyEntry> entries;
  entries.push_back(std::move(entry));
  return std::make_shared<const meter::dlms::KeyRing>(std::move(entries));
}

using PassedOn = std::function<void(const meter::Decoder::Step&)>;

/// Feeds one telegram; true if the decoder made exactly one telegram of it, without a refusal.
testing::AssertionResult decode(meter::Decoder& decoder, const Octets& octets,
                                const PassedOn& passed_on = [](const auto&) {}) {
  auto rest = std::as_bytes(std::span(octets));
  unsigned telegrams = 0;
  for (;;) {
    const auto step = decoder.next(rest);
    if (step.outcome == meter::Decoder::Outcome::telegram) passed_on(step);
    rest = rest.subspan(step.consumed);
    if (step.outcome == meter::Decoder::Outcome::rejected)
      return testing::AssertionFailure() << "refused: " << meter::name(step.fault.code);
    if (step.outcome == meter::Decoder::Outcome::telegram && ++telegrams == 1 && rest.size() <= 1)
      return testing::AssertionSuccess();
    if (step.outcome == meter::Decoder::Outcome::need_more)
      return testing::AssertionFailure() << "no telegram, " << rest.size() << " octets left";
  }
}

/// The readings by name, without what is derived.
std::map<std::string, std::string> decoded_readings(const meter::ReadingSet& set) {
  static const meter::QuantityMap map;
  static meter::NamedReadings named;
  meter::harmonize(set, map, named);
  std::map<std::string, std::string> readings;
  for (const meter::NamedReading& reading : named) {
    char buffer[meter::Decimal::text_size_max];
    if (!reading.derived && !reading.is_text && !reading.is_time)
      readings.emplace(reading.name, reading.value.to_text(buffer));
  }
  return readings;
}

void expect_same(const Telegram& sent, const meter::ReadingSet& read) {
  EXPECT_EQ(read.meter_id.view(), sent.meter);
  std::map<std::string, std::string> readings;
  for (const auto& [name, value] : sent.readings) readings.emplace(name, value);
  EXPECT_EQ(decoded_readings(read), readings);
  if (sent.time) {
    char buffer[meter::DateTime::text_size_max];
    ASSERT_TRUE(read.time.has_value());
    EXPECT_EQ(read.time->to_text(buffer), *sent.time);
  }
  EXPECT_EQ(read.invocation_counter, sent.invocation_counter.value_or(0));
  ASSERT_EQ(read.sub_meters.size(), sent.sub_meters.size());
  for (std::size_t i = 0; i < sent.sub_meters.size(); ++i) {
    const auto part = std::make_unique<meter::ReadingSet>();
    meter::sub_meter_telegram(read, i, *part);
    EXPECT_EQ(part->meter_id.view(), sent.sub_meters[i].meter);
    EXPECT_EQ(meter::name(part->medium), sent.sub_meters[i].medium);
    std::map<std::string, std::string> said;
    for (const auto& [name, value] : sent.sub_meters[i].readings) said.emplace(name, value);
    EXPECT_EQ(decoded_readings(*part), said);
  }
}

/// Those that speak on a serial line; messages of gateways have tests/libmeter/meter_json.
std::vector<std::size_t> wire_families() {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < metersim::families().size(); ++i)
    if (metersim::families()[i].link != metersim::Link::json) indices.push_back(i);
  return indices;
}

class RoundTrip : public testing::TestWithParam<std::size_t> {
 protected:
  const Family& family_ = metersim::families()[GetParam()];

  void run(std::uint8_t control, bool with_authentication_key, meter::Authentication expected) {
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    options.control = control;
    metersim::Meter meter(family_, options);
    meter::Decoder decoder({.standard_offset_min = 60}, test_keys(with_authentication_key));
    for (int i = 0; i < 30; ++i) {
      const Telegram sent = meter.next();
      with_authentication_key_ = with_authentication_key;
      const auto passed_on = [this](const meter::Decoder::Step& step) {
        frames_.clear();
        for (const std::byte octet : step.frames)
          frames_.push_back(std::to_integer<std::uint8_t>(octet));
        frames_link_ = step.link;
      };
      ASSERT_TRUE(decode(decoder, sent.octets(), passed_on)) << "telegram " << sent.number;
      EXPECT_EQ(decoder.readings().authentication, expected);
      expect_same(sent, decoder.readings());
      expect_same_from_frames(sent, decoder.readings());
    }
  }

  /// What is passed on is what was sent, but for what is not of the telegram; another decoder makes
  /// the same of it.
  void expect_same_from_frames(const Telegram& sent, const meter::ReadingSet& read) {
    const auto sent_octets = sent.octets();
    EXPECT_FALSE(frames_.empty());
    const bool has_requests = family_.name.starts_with("mbus-") ||
                              family_.link == metersim::Link::iec62056_21 ||
                              family_.name == "amis-td351x";
    if (!has_requests) {
      EXPECT_EQ(frames_, sent_octets);
    }
    meter::Decoder decoder({.link = frames_link_, .standard_offset_min = 60},
                           test_keys(with_authentication_key_));
    auto rest = std::as_bytes(std::span(frames_));
    decoder.end_of_input();
    const auto again = [&] {
      for (;;) {
        const auto step = decoder.next(rest);
        rest = rest.subspan(step.consumed);
        if (step.outcome == meter::Decoder::Outcome::telegram) return true;
        if (step.outcome == meter::Decoder::Outcome::need_more) return false;
      }
    };
    ASSERT_TRUE(again());
    EXPECT_EQ(decoder.readings().authentication, read.authentication);
    expect_same(sent, decoder.readings());
    EXPECT_FALSE(again());
    EXPECT_EQ(decoder.telegrams(), 1u);
  }

  Octets frames_;
  meter::Link frames_link_ = meter::Link::raw;
  bool with_authentication_key_ = false;
};

TEST_P(RoundTrip, as_the_family_sends_it) {
  const bool authenticated = (family_.security.control & 0x10) != 0;
  run(family_.security.control, true,
      authenticated                      ? meter::Authentication::verified
      : family_.security.control != 0x00 ? meter::Authentication::unverified
                                         : meter::Authentication::clear);
}
/// Families whose content a general-glo-ciphering APDU can carry.
class CipheredRoundTrip : public RoundTrip {
 public:
  static std::vector<std::size_t> indices() {
    std::vector<std::size_t> found = wire_families();
    std::erase_if(found, [](std::size_t index) {
      const Family& family = metersim::families()[index];
      return family.link == metersim::Link::sml || family.link == metersim::Link::iec62056_21 ||
             family.name.starts_with("mbus-") || family.name == "amis-td351x";
    });
    return found;
  }
};
TEST_P(CipheredRoundTrip, encrypted) {
  run(0x20, false, meter::Authentication::unverified);
}
TEST_P(CipheredRoundTrip, encrypted_suite_1) {
  run(0x21, false, meter::Authentication::unverified);
}
TEST_P(CipheredRoundTrip, encrypted_and_authenticated) {
  run(0x30, true, meter::Authentication::verified);
}
TEST_P(CipheredRoundTrip, encrypted_and_authenticated_suite_1) {
  run(0x31, true, meter::Authentication::verified);
}
TEST_P(CipheredRoundTrip, authenticated_in_clear) {
  run(0x10, true, meter::Authentication::verified);
}
TEST_P(CipheredRoundTrip, without_the_authentication_key) {
  // But there is one that everybody has.
  const bool shared = family_.name == "smarty-lu";
  run(0x30, false,
      shared ? meter::Authentication::verified : meter::Authentication::unverified);
}

std::string family_name(const testing::TestParamInfo<std::size_t>& instance) {
  std::string name(metersim::families()[instance.param].name);
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Families, RoundTrip, testing::ValuesIn(wire_families()), family_name);
INSTANTIATE_TEST_SUITE_P(Families, CipheredRoundTrip,
                         testing::ValuesIn(CipheredRoundTrip::indices()), family_name);

TEST(ClearFamilies, in_clear) {
  for (const std::size_t index : wire_families()) {
    const Family& family = metersim::families()[index];
    metersim::MeterOptions options;
    options.control = 0x00;
    options.start.epoch_s = 1795172405;
    const Telegram sent = metersim::Meter(family, options).next();
    meter::Decoder decoder({}, nullptr);
    ASSERT_TRUE(decode(decoder, sent.octets())) << family.name;
    EXPECT_EQ(decoder.readings().authentication, meter::Authentication::clear);
  }
}

TEST(WrongKey, is_refused) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(*metersim::find_family("kaifa-noe"), options);
  meter::Decoder decoder({}, test_keys(false));
  const Octets octets = meter.next_with_wrong_key().octets();
  auto rest = std::as_bytes(std::span(octets));
  auto step = decoder.next(rest);
  while (step.outcome == meter::Decoder::Outcome::progress) {
    rest = rest.subspan(step.consumed);
    step = decoder.next(rest);
  }
  EXPECT_EQ(step.outcome, meter::Decoder::Outcome::rejected);
  EXPECT_EQ(step.fault.code, meter::Errc::key_wrong);
  ASSERT_TRUE(decode(decoder, meter.next().octets())) << "the next good telegram is read";
}

/// Without a tag only the clear text's structure tells a wrong key: no decoder may take garbage.
TEST(WrongKey, never_yields_a_telegram) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(*metersim::find_family("kaifa-noe"), options);
  meter::Decoder decoder({}, test_keys(false));
  for (int i = 0; i < 20'000; ++i) {
    const Octets octets = meter.next_with_wrong_key().octets();
    for (auto rest = std::as_bytes(std::span(octets));;) {
      const auto step = decoder.next(rest);
      ASSERT_NE(step.outcome, meter::Decoder::Outcome::telegram) << "telegram " << i;
      if (step.outcome == meter::Decoder::Outcome::need_more) break;
      rest = rest.subspan(step.consumed);
    }
  }
}

/// An encrypted P1 telegram has nothing behind its length but the tag: what is cut off at its end
/// must not be taken from the next one.
TEST(CutTelegram, costs_no_other) {
  for (std::size_t missing = 1; missing < 40; ++missing) {
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    metersim::Meter meter(*metersim::find_family("smarty-lu"), options);
    meter::Decoder decoder({}, test_keys(false));
    Octets octets = meter.next().octets();
    octets.resize(octets.size() - missing);
    const Octets good = meter.next().octets();
    octets.insert(octets.end(), good.begin(), good.end());
    unsigned telegrams = 0;
    for (auto rest = std::as_bytes(std::span(octets));;) {
      const auto step = decoder.next(rest);
      telegrams += step.outcome == meter::Decoder::Outcome::telegram ? 1 : 0;
      if (step.outcome == meter::Decoder::Outcome::need_more) break;
      rest = rest.subspan(step.consumed);
    }
    EXPECT_EQ(telegrams, 1u) << missing << " octets missing";
  }
}

}  // namespace
