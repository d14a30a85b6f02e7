// SPDX-License-Identifier: Apache-2.0
// What a redacted capture must be, for telegrams of every family and every capture of the corpus,
// cut anywhere: the same telegrams, refusals and readings, and no id in any form.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "meter/base/hex.hpp"
#include "tests/corpus/sample.hpp"
#include "tools/capture_format.hpp"
#include "tools/metersim/meter.hpp"
#include "tools/smartmeterctl/redact.hpp"

namespace smartmeterctl::redact {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// A capture of these bytes, cut into lines of up to `line_max` bytes.
std::string capture_of(const Octets& octets, std::mt19937& random, std::size_t line_max,
                       const std::string& head = {}) {
  tools::CaptureWriter writer;
  writer.magic();
  std::string text = writer.text() + head;
  writer.clear();
  for (std::size_t at = 0; at < octets.size();) {
    const std::size_t size = std::min(octets.size() - at, 1 + random() % line_max);
    writer.at(std::chrono::microseconds(at));
    writer.octets(meter::Bytes(octets).subspan(at, size));
    at += size;
  }
  return text + writer.text() + "#end\n";
}

Octets octets_of(std::string_view capture) {
  tools::CaptureParser parser;
  parser.add(capture);
  parser.end();
  tools::CaptureLine line;
  Octets octets;
  while (parser.next(line)) octets.insert(octets.end(), line.octets.begin(), line.octets.end());
  return octets;
}

Octets octets_of_hex(std::string_view hex) {
  Octets octets;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    octets.push_back(static_cast<std::byte>(meter::hex_value(hex[i]) << 4 |
                                            meter::hex_value(hex[i + 1])));
  return octets;
}

Walk walk_of(std::string_view capture) {
  Recording recording{octets_of(capture), {}};
  recording.pieces.push_back({0, recording.octets.size(), {}, false});
  return walk(recording);
}

/// An id in the octets: as text, and as digits of hex text.
bool names(const Octets& octets, std::string_view id) {
  const std::string_view text = meter::text_of(octets);
  std::string hex(2 * id.size(), ' ');
  meter::write_hex(meter::bytes_of(id), hex, meter::hex_upper);
  if (text.find(id) != text.npos || text.find(hex) != text.npos) return true;
  if (id.size() != 8 || !std::ranges::all_of(id, [](unsigned char c) { return std::isdigit(c); }))
    return false;
  Octets bcd = octets_of_hex(id);
  std::ranges::reverse(bcd);
  return std::ranges::search(octets, bcd).begin() != octets.end();
}

Redacted redact_in_pieces(const Octets& octets, std::size_t line_max, std::uint32_t seed) {
  std::mt19937 random(seed);
  const std::string capture = capture_of(octets, random, line_max);
  Redacted redacted = smartmeterctl::redact::redact(capture, seeded(seed));
  // Times and cuts stay: without digits of bytes and the report both are the same.
  const auto shape = [](std::string_view text) {
    std::string lines;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(line.size() + 1);
      if (line.starts_with("#redacted")) continue;
      lines += line.starts_with('#') ? std::string(line) : std::to_string(line.size());
      lines += '\n';
    }
    return lines;
  };
  EXPECT_EQ(shape(redacted.text), shape(capture));
  return redacted;
}

/// The readings of a telegram that are numbers and no ids, as text.
std::vector<std::string> numbers(const Telegram& telegram) {
  std::vector<std::string> lines;
  for (const Entry& entry : telegram.entries) {
    if (is_id(telegram, entry) || entry.kind != meter::Reading::Kind::number) continue;
    char obis[32] = {};
    char value[meter::Decimal::text_size_max];
    std::snprintf(obis, sizeof obis, "%012llx ",
                  static_cast<unsigned long long>(entry.obis.key()));
    lines.push_back(obis + std::string(entry.value.to_text(value)));
  }
  return lines;
}

void expect_redacted(const Octets& octets, std::size_t line_max, std::uint32_t seed) {
  const Redacted redacted = redact_in_pieces(octets, line_max, seed);
  const Octets after_octets = octets_of(redacted.text);
  std::mt19937 random(seed);
  const Walk before = walk_of(capture_of(octets, random, line_max));
  const Walk after = walk_of(redacted.text);
  ASSERT_EQ(after.telegrams.size(), before.telegrams.size());
  EXPECT_EQ(after.refusals, before.refusals);
  EXPECT_EQ(redacted.report.encrypted, before.encrypted);
  std::set<Octets> ids;
  for (std::size_t i = 0; i < before.telegrams.size(); ++i) {
    const Telegram& was = before.telegrams[i];
    const Telegram& is = after.telegrams[i];
    EXPECT_EQ(numbers(is), numbers(was));
    EXPECT_EQ(is.profile, was.profile);
    if (was.is_signed_only) continue;
    for (const Entry& entry : was.entries)
      if (is_id(was, entry) && entry.octets.size() >= 6 && !is_blank(entry.octets))
        ids.insert(entry.octets);
  }
  for (const Octets& id : ids)
    EXPECT_EQ(meter::text_of(after_octets).find(meter::text_of(id)), std::string_view::npos)
        << "an id of " << id.size() << " octets is still there";
  if (before.encrypted != 0 && before.telegrams.empty()) {
    EXPECT_EQ(after_octets, octets);
  }
}

// ---- telegrams of the simulator -----------------------------------------------------------------

std::vector<std::size_t> wire_families() {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < metersim::families().size(); ++i)
    if (metersim::families()[i].link != metersim::Link::json) indices.push_back(i);
  return indices;
}

class Simulated : public testing::TestWithParam<std::size_t> {};

TEST_P(Simulated, IsTheSameWithoutItsIds) {
  const metersim::Family& family = metersim::families()[GetParam()];
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(family, options);
  Octets octets;
  std::vector<std::string> ids;
  bool is_encrypted = false;
  for (int i = 0; i < 5; ++i) {
    const metersim::Telegram sent = meter.next();
    is_encrypted = is_encrypted || sent.invocation_counter.has_value();
    ids.push_back(sent.meter);
    for (const auto& sub_meter : sent.sub_meters) ids.push_back(sub_meter.meter);
    for (const std::uint8_t octet : sent.octets()) octets.push_back(static_cast<std::byte>(octet));
  }
  for (const std::size_t line_max : {1u, 7u, 300u}) expect_redacted(octets, line_max, 1);
  const Redacted redacted = redact_in_pieces(octets, 40, 2);
  if (redacted.report.encrypted != 0) {
    EXPECT_EQ(octets_of(redacted.text), octets);
    EXPECT_THAT(redacted.text, HasSubstr("#redacted left 5 encrypted telegrams"));
    return;
  }
  EXPECT_FALSE(is_encrypted);
  EXPECT_EQ(redacted.report.telegrams, 5u);
  for (const std::string& id : ids)
    if (id.size() >= 6 && names(octets, id)) {
      EXPECT_FALSE(names(octets_of(redacted.text), id)) << id;
      EXPECT_NE(redacted.report.ids, 0u);
    }
}

/// Damage on the line: what is still read is the same, what is refused is refused.
TEST_P(Simulated, IsTheSameWhenDamaged) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(metersim::families()[GetParam()], options);
  Octets octets;
  for (int i = 0; i < 12; ++i)
    for (const std::uint8_t octet : meter.next().octets())
      octets.push_back(static_cast<std::byte>(octet));
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    std::mt19937 random(seed);
    Octets damaged = octets;
    for (int i = 0; i < 4; ++i)
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << random() % 8);
    const Redacted redacted = redact_in_pieces(damaged, 60, seed);
    const Walk after = walk_of(redacted.text);
    std::mt19937 same(seed);
    EXPECT_EQ(after.refusals, walk_of(capture_of(damaged, same, 60)).refusals);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Simulated, testing::ValuesIn(wire_families()),
                         [](const auto& each) {
                           std::string name(metersim::families()[each.param].name);
                           std::ranges::replace_if(
                               name, [](unsigned char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

// ---- captures of the corpus ---------------------------------------------------------------------

class Corpus : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Corpus, IsTheSameWithoutItsIds) {
  const meter::corpus::Sample sample = meter::corpus::load_sample(GetParam());
  if (sample.octets.empty()) return;
  for (const std::size_t line_max : {40u, 300u})
    expect_redacted(sample.octets, line_max, static_cast<std::uint32_t>(line_max));
}

std::vector<std::filesystem::path> folders() {
  std::vector<std::filesystem::path> found;
  const auto corpus = meter::corpus::find_corpus();
  if (!corpus) return found;
  for (const std::string_view family : {"dlms-mbus", "dlms-hdlc", "dlms-raw", "dsmr-p1", "sml",
                                        "iec62056-21", "mbus-wired"})
    for (const auto& entry : std::filesystem::directory_iterator(*corpus / family))
      if (entry.is_directory()) found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Every, Corpus, testing::ValuesIn(folders()), [](const auto& each) {
  std::string name =
      each.param.parent_path().filename().string() + "_" + each.param.filename().string();
  std::ranges::replace_if(name, [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Corpus);

// ---- what it says, and what it refuses ----------------------------------------------------------

/// "/ISK5…" with this data line and a right CRC, by the encoder's rules of DSMR 5.2.
std::string p1_telegram(const std::string& lines) {
  const std::string text = "/ISK5\\2M550T-1012\r\n\r\n" + lines + "1-0:1.8.1(000123.456*kWh)\r\n!";
  unsigned crc = 0;  // CRC-16/ARC
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xa001 : crc >> 1;
  }
  return text + fmt::format("{:04X}\r\n", crc);
}

std::string capture_of_text(const std::string& text, const std::string& head = {}) {
  tools::CaptureWriter writer;
  writer.magic();
  std::string capture = writer.text() + head;
  writer.clear();
  writer.octets(meter::bytes_of(text));
  return capture + writer.text() + "#end\n";
}

std::string text_of_capture(const std::string& capture) {
  return std::string(meter::text_of(octets_of(capture)));
}

TEST(Redact, KeepsKindLengthAndType) {
  const std::string telegram = p1_telegram(
      "0-0:96.1.1(4530303434303037303537323036303136)\r\n"
      "0-0:96.13.0(4A616E6520446F65)\r\n0-0:96.1.4(50217)\r\n");
  const std::string after =
      text_of_capture(smartmeterctl::redact::redact(capture_of_text(telegram), seeded(3)).text);
  EXPECT_EQ(after.size(), telegram.size());
  EXPECT_THAT(after, Not(HasSubstr("4530303434303037303537323036303136")));
  EXPECT_THAT(after, Not(HasSubstr("4A616E65")));
  EXPECT_THAT(after, HasSubstr("0-0:96.1.1(4530303434"));  // "E0044", the type
  EXPECT_THAT(after, HasSubstr("0-0:96.1.4(50217)"));
  EXPECT_THAT(after, HasSubstr("1-0:1.8.1(000123.456*kWh)"));
}

TEST(Redact, IsTheSamePseudonymEverywhere) {
  const std::string telegram = p1_telegram("0-0:96.1.1(K8EG004046395507)\r\n");
  const std::string head =
      "#adapter usb-ftdi-ft232r-usb-uart-a5069rr4-if00-port0\n"
      "#device /dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A5069RR4-if00-port0\n"
      "# the meter k8eg004046395507, 4B38454730303430343633393535303737\n";
  const Redacted redacted =
      smartmeterctl::redact::redact(capture_of_text(telegram + telegram, head), seeded(4));
  const std::string after = text_of_capture(redacted.text);
  const std::size_t half = after.size() / 2;
  EXPECT_EQ(after.substr(0, half), after.substr(half));
  for (const char* id : {"004046395507", "46395507", "A5069RR4", "a5069rr4", "3034303436333935"})
    EXPECT_THAT(redacted.text, Not(HasSubstr(id)));
  EXPECT_THAT(redacted.text, HasSubstr("usb-FTDI_FT232R_USB_UART_"));
  EXPECT_EQ(redacted.report.ports, 1u);
  EXPECT_EQ(redacted.report.comments, 1u);
  const std::size_t slug_at = redacted.text.find("uart-") + 5;
  std::string slug = redacted.text.substr(slug_at, 8);
  std::ranges::transform(slug, slug.begin(), [](unsigned char c) { return std::toupper(c); });
  EXPECT_THAT(redacted.text, HasSubstr("UART_" + slug));
}

TEST(Redact, SaysWhichWordsItDoesNotKnow) {
  const std::string capture = capture_of_text(p1_telegram("0-0:96.1.1(K8EG004046395507)\r\n"),
                                              "#owner Jane Doe\n#link p1\n#at +0\n");
  const Redacted redacted = smartmeterctl::redact::redact(capture, seeded(5));
  EXPECT_EQ(redacted.report.unknown_directives, 1u);
  EXPECT_THAT(redacted.report.sentences(),
              Contains(AllOf(StartsWith("1 directive left"), HasSubstr("look at"))));
  EXPECT_THAT(redacted.text, HasSubstr("#owner Jane Doe\n"));
}

TEST(Redact, IsDrawnAnewEachTime) {
  const std::string capture =
      capture_of_text(p1_telegram("0-0:96.1.1(K8EG004046395507)\r\n"));
  EXPECT_NE(smartmeterctl::redact::redact(capture, unpredictable()).text,
            smartmeterctl::redact::redact(capture, unpredictable()).text);
}

/// What is damaged is left, but for ids that other telegrams name; and it is said where it is.
TEST(Redact, SaysWhatNoTelegramExplains) {
  const std::string telegram = p1_telegram("0-0:96.1.1(K8EG004046395507)\r\n");
  std::string damaged = telegram;
  damaged[damaged.find("000123")] = '9';
  const Redacted redacted =
      smartmeterctl::redact::redact(capture_of_text(telegram + damaged), seeded(5));
  EXPECT_THAT(text_of_capture(redacted.text), Not(HasSubstr("4046395507")));
  ASSERT_FALSE(redacted.report.unread.empty());
  EXPECT_EQ(redacted.report.unread[0].at, telegram.size());
  EXPECT_THAT(redacted.text, HasSubstr("#redacted left "));
}

/// Chance that only ever makes the id itself again.
TEST(Redact, WritesNothingWhereAnIdStays) {
  const std::string capture = capture_of_text(p1_telegram("0-0:96.1.1(K7777777)\r\n"));
  const Random seven = [](std::uint32_t limit) { return 7 % limit; };
  EXPECT_THROW((void)smartmeterctl::redact::redact(capture, seven), Error);
}

TEST(Redact, RefusesWhatIsNoCapture) {
  EXPECT_THROW((void)smartmeterctl::redact::redact("68 05\n", seeded(1)), tools::CaptureError);
}

}  // namespace
}  // namespace smartmeterctl::redact
