// SPDX-License-Identifier: Apache-2.0
// Every real capture through the whole chain, in one piece, byte by byte and in random pieces,
// against what its source says; and the table of families, which tools/test prints. Only one
// decoder's word against another's ("reference") is compared second.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/corpus/judge.hpp"

namespace meter::corpus {
namespace {

/// No serial line or broker of ours carries them.
constexpr std::string_view out_of_scope[] = {"wmbus-oms", "other"};

/// Why a sample does not give what its source says, or nothing at all. A row that is not needed
/// fails.
struct Reason {
  std::string_view sample;
  std::string_view text;
};
constexpr auto reasons = std::to_array<Reason>({
    {"iec62056-21/apollon-serialresponsed0dsmr", "a CRC of DSMR that is not its own"},
    {"mbus-wired/libmbus-abb_f95", "an error display in BCD, which its source prints as a number"},
    {"mbus-wired/libmbus-sen_pollustat", "durations of a limit exceed, in s: its source says m3/h"},
    {"sml/ollisml-test_emh", "edited by hand: the list's own CRC is the old one"},
    {"sml/ollisml-test_negative", "edited by hand: the list's own CRC is the old one"},
    {"dsmr-p1/esphome-libs-parser_test-1", "no CRC, and a line breaks the grammar"},
    {"dsmr-p1/esphome-libs-parser_test-15", "no CRC, and a line breaks the grammar"},
    {"dsmr-p1/esphome-libs-parser_test-7", "no CRC, and a line breaks the grammar"},
    {"dsmr-p1/esphome-libs-parser_test-5", "a code twice: the last one counts, not the first"},
    {"dsmr-p1/mijnverbruik-telegram_fixtures-5", "what stands for the CRC is none"},
});
const Reason* find_reason(const Sample& sample) {
  for (const Reason& row : reasons)
    if (sample.name == row.sample) return &row;
  return nullptr;
}

void expect_same_in_pieces(const Sample& sample, const Decoded& whole) {
  const Decoded single = decode(sample, [] { return 1; });
  EXPECT_EQ(whole.telegrams, single.telegrams) << "byte by byte differs";
  // Texts that were published end with more or less than a P1 telegram's line end.
  if (sample.family != "dsmr-p1") {
    EXPECT_EQ(whole.raw, single.raw) << "byte by byte the frames differ";
  }
  std::mt19937 random(sample.octets.size() & 0xffff);
  for (int round = 0; round < 3; ++round)
    EXPECT_EQ(whole.telegrams, decode(sample, [&] { return 1 + random() % 40; }).telegrams)
        << "in random pieces differs";
}

/// What is passed on of each telegram makes it again.
void expect_same_from_frames(const Sample& sample, const Decoded& whole) {
  for (std::size_t i = 0; i < whole.raw.size(); ++i) {
    EXPECT_FALSE(whole.raw[i].frames.empty());
    const Decoded again = decode_again(sample, whole.raw[i]);
    EXPECT_EQ(again.telegrams, std::vector{whole.telegrams[i]}) << "telegram " << i;
    EXPECT_EQ(std::ranges::count_if(again.refusals, [](auto count) { return count != 0; }), 0)
        << "telegram " << i;
  }
}

/// The P1 telegram as its meter must have sent it: its texts were edited or lost their line ends
/// on the way to where they were published, and the checksum with them.
Sample with_right_checksum(Sample sample) {
  std::vector<std::byte> octets = with_line_ends(sample.octets);
  const auto begin = std::ranges::find(octets, std::byte{'/'});
  // The last one: texts in brackets may hold others.
  const auto mark = std::find(octets.rbegin(), octets.rend(), std::byte{'!'}).base();
  unsigned crc = 0;  // CRC-16/ARC
  for (auto octet = begin; octet < mark; ++octet) {
    crc ^= std::to_integer<unsigned>(*octet);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xa001 : crc >> 1;
  }
  octets.erase(mark, octets.end());
  char text[16];
  std::snprintf(text, sizeof text, "%04X\r\n", crc & 0xffffu);
  for (const char* c = text; *c != 0; ++c) octets.push_back(static_cast<std::byte>(*c));
  sample.octets = std::move(octets);
  return sample;
}

/// Counts of outcomes by family.
class Table : public testing::Environment {
 public:
  void add(const Sample& sample, Outcome outcome) {
    ++counts_[sample.family][static_cast<std::size_t>(outcome)];
  }
  void note(const Sample& sample, std::string_view reason) {
    notes_.push_back(sample.name + ": " + std::string(reason));
  }
  void TearDown() override {
    if (counts_.empty()) return;
    std::cout << "table: captures of the corpus by family\ntable: family         samples";
    for (std::string_view name : outcome_names) std::cout << "  " << name;
    std::cout << '\n';
    for (std::string_view family : corpus_families) print(family, counts_[std::string(family)]);
    for (std::string_view family : out_of_scope)
      std::cout << "table: " << family << ": out of scope\n";
    for (const std::string& note : notes_) std::cout << "table: not decoded: " << note << '\n';
    std::cout << std::flush;
  }

 private:
  using Counts = std::array<unsigned, outcome_names.size()>;
  static void print(std::string_view family, const Counts& counts) {
    unsigned all = 0;
    for (const unsigned count : counts) all += count;
    std::cout << "table: " << family << std::string(15 - family.size(), ' ')
              << padded(std::to_string(all), 7);
    for (std::size_t i = 0; i < counts.size(); ++i)
      std::cout << "  " << padded(counts[i] ? std::to_string(counts[i]) : "-",
                                  outcome_names[i].size());
    std::cout << '\n';
  }
  static std::string padded(const std::string& text, std::size_t width) {
    return std::string(width - std::min(width, text.size()), ' ') + text;
  }
  std::map<std::string, Counts> counts_;
  std::vector<std::string> notes_;
};
Table& table() {
  static auto* const it = static_cast<Table*>(testing::AddGlobalTestEnvironment(new Table));
  return *it;
}
[[maybe_unused]] const Table& registered_before_main = table();

class Corpus : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Corpus, DecodesAsPublished) {
  Sample sample = load_sample(GetParam());
  // Texts are the weak side of the reference decoder.
  for (ExpectedTelegram& telegram : sample.reference.telegrams)
    std::erase_if(telegram.readings, [](const ExpectedReading& r) { return !r.value; });
  const Decoded decoded = decode_whole(sample);
  expect_same_in_pieces(sample, decoded);
  expect_same_from_frames(sample, decoded);
  std::string why;
  Outcome outcome = judge(sample, decoded, why);
  if (const Reason* reason = find_reason(sample)) {
    EXPECT_EQ(outcome, Outcome::wrong) << "its reason is not needed: " << reason->text;
    outcome = Outcome::not_decoded;
    table().note(sample, reason->text);
  } else {
    EXPECT_NE(outcome, Outcome::wrong) << why;
  }
  table().add(sample, outcome);
  if (outcome != Outcome::damaged || sample.family != "dsmr-p1" || sample.encrypted) return;
  if (sample.checksum != "bad" || !sample.published.present) return;
  const Sample mended = with_right_checksum(sample);
  EXPECT_EQ(judge(mended, decode_whole(mended), why), Outcome::right)
      << "with the right checksum: " << why;
}

std::vector<std::filesystem::path> folders() {
  std::vector<std::filesystem::path> found;
  const auto corpus = find_corpus();
  if (!corpus) return found;
  for (const std::string_view family : corpus_families)
    for (const auto& entry : std::filesystem::directory_iterator(*corpus / family))
      if (entry.is_directory()) found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

std::string test_name(const testing::TestParamInfo<std::filesystem::path>& folder) {
  std::string name =
      folder.param.parent_path().filename().string() + "_" + folder.param.filename().string();
  std::ranges::replace_if(name, [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Every, Corpus, testing::ValuesIn(folders()), test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Corpus);

/// The inputs of the benchmark, with the keys of its README.
Decoded decode_bench_input(std::string_view file, std::string_view key,
                           std::string_view authentication_key) {
  Sample sample = load_octets(*find_corpus() / "bench" / "inputs" / file);
  sample.key = key;
  sample.authentication_key = authentication_key;
  const Decoded decoded = decode_whole(sample);
  expect_same_in_pieces(sample, decoded);
  expect_same_from_frames(sample, decoded);
  EXPECT_EQ(decoded.telegrams.size(), 1u);
  for (const Telegram& telegram : decoded.telegrams)
    for (const Register& each : telegram.registers) EXPECT_FALSE(each.scale_unknown);
  return decoded;
}
void expect_value(const Telegram& telegram, std::string obis, std::string value, std::string unit) {
  ExpectedReading expected;
  expected.obis = std::move(obis);
  expected.value = std::move(value);
  expected.unit = std::move(unit);
  EXPECT_EQ(mismatch(telegram, expected), "");
}

TEST(BenchInputs, DecodeWithTheirKeys) {
  if (!find_corpus() || !exists(*find_corpus() / "bench")) GTEST_SKIP() << "no corpus";
  const auto evn = decode_bench_input("a1_noe_mbus.bin", "36C66639E48A8CA4D6BC8B282A793BBB", "");
  ASSERT_EQ(evn.telegrams.size(), 1u);
  EXPECT_EQ(evn.telegrams[0].meter, "181220000009");
  expect_value(evn.telegrams[0], "1-0:1.8.0", "12.937", "kWh");
  expect_value(evn.telegrams[0], "1-0:32.7.0", "233.7", "V");
  const auto tinetz =
      decode_bench_input("a2_tinetz_mbus.bin", "000102030405060708090A0B0C0D0E0F", "");
  ASSERT_EQ(tinetz.telegrams.size(), 1u);
  expect_value(tinetz.telegrams[0], "1-0:32.7.0", "233.7", "V");
  const auto e450 = decode_bench_input("b_e450_hdlc_gbt.bin", "000102030405060708090A0B0C0D0E0F",
                                       "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF");
  ASSERT_EQ(e450.telegrams.size(), 1u);
  EXPECT_EQ(e450.telegrams[0].registers.size(), 17u);
  EXPECT_EQ(decode_bench_input("b0_e450_plain_pushlist.bin", "", "").telegrams[0].meter,
            "LGZ1030653520967");
}

TEST(CorpusIsPresent, OrTheseTestsAreSkipped) {
  if (!find_corpus()) GTEST_SKIP() << "no corpus: neither SMARTMETER_CORPUS nor ../shared/corpus";
}

}  // namespace
}  // namespace meter::corpus
