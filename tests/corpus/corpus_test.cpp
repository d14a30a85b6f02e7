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
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "tests/corpus/match.hpp"
#include "tests/corpus/sample.hpp"

namespace meter::corpus {
namespace {

constexpr std::string_view families[] = {"dlms-mbus",  "dlms-hdlc",     "dlms-raw",
                                         "dsmr-p1",    "sml",           "iec62056-21",
                                         "mbus-wired", "zigbee-glow",   "gplug-tasmota"};
/// No serial line or broker of ours carries them.
constexpr std::string_view out_of_scope[] = {"wmbus-oms", "other"};

/// What became of a sample.
enum class Outcome : std::uint8_t {
  right,        ///< as its source published
  reference,    ///< nothing published; as another decoder says
  decoded,      ///< nothing published, nothing to compare with
  rejected,     ///< as it must be
  damaged,      ///< its checksum is wrong, or a part is missing: rightly refused
  locked,       ///< encrypted, and its key is not known: no telegram, and the reason is said
  unreadable,   ///< for people: comments between the octets, parts made unreadable
  not_decoded,  ///< see `reasons`
  wrong,
};
constexpr std::array<std::string_view, 9> outcome_names = {
    "right", "as reference", "decoded", "rejected", "damaged", "no key", "not for machines",
    "not decoded", "wrong"};

/// Why a sample does not give what its source says, or nothing at all. A row that is not needed
/// fails.
struct Reason {
  std::string_view sample;
  std::string_view text;
};
constexpr auto reasons = std::to_array<Reason>({
    {"sml/ollisml-test_emh", "edited by hand: the list's own CRC is the old one"},
    {"sml/ollisml-test_negative", "edited by hand: the list's own CRC is the old one"},
});
const Reason* find_reason(const Sample& sample) {
  for (const Reason& row : reasons)
    if (sample.name == row.sample) return &row;
  return nullptr;
}

/// The reference decoder took the descriptors of push-object lists for values.
bool reference_is_wrong(const Sample& sample) {
  return sample.name.find("e450") != std::string::npos ||
         sample.name.find("scs-iskra_am550") != std::string::npos;
}

struct Decoded {
  std::vector<Telegram> telegrams;
  std::vector<std::uint64_t> refusals;
  std::uint64_t refused(Errc code) const { return refusals[static_cast<std::size_t>(code)]; }
};

std::shared_ptr<const dlms::KeyRing> keys_of(const Sample& sample) {
  if (sample.key.empty()) return nullptr;
  auto key = dlms::EncryptionKey::parse(sample.key);
  if (!key.key) throw std::runtime_error(sample.name + ": " + key.error);
  std::vector<dlms::KeyEntry> entries;
  entries.push_back({"*", std::move(*key.key), {}, {}});
  if (!sample.authentication_key.empty())
    entries[0].authentication.push_back(
        std::move(*dlms::AuthenticationKey::parse(sample.authentication_key).key));
  return std::make_shared<dlms::KeyRing>(std::move(entries));
}

/// `next_piece` says how many octets come next.
template <class NextPiece>
Decoded decode(const Sample& sample, NextPiece next_piece) {
  DecoderOptions options;
  options.check_replay = false;
  Decoder decoder(options, keys_of(sample));
  Decoded decoded;
  std::vector<std::byte> pending;
  auto run = [&] {
    for (;;) {
      const Decoder::Step step = decoder.next(pending);
      if (step.outcome == Decoder::Outcome::telegram)
        decoded.telegrams.push_back(keep(decoder.readings()));
      pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(step.consumed));
      if (step.outcome == Decoder::Outcome::need_more) return;
    }
  };
  for (std::size_t at = 0, piece = 0; at < sample.octets.size(); at += piece) {
    piece = std::min<std::size_t>(next_piece(), sample.octets.size() - at);
    const auto begin = sample.octets.begin() + static_cast<std::ptrdiff_t>(at);
    pending.insert(pending.end(), begin, begin + static_cast<std::ptrdiff_t>(piece));
    run();
  }
  decoder.end_of_input();
  run();
  decoded.refusals.assign(decoder.refusals().begin(), decoder.refusals().end());
  return decoded;
}
Decoded decode_whole(const Sample& sample) {
  return decode(sample, [&] { return sample.octets.size(); });
}

void expect_same_in_pieces(const Sample& sample, const Decoded& whole) {
  EXPECT_EQ(whole.telegrams, decode(sample, [] { return 1; }).telegrams) << "byte by byte differs";
  std::mt19937 random(sample.octets.size() & 0xffff);
  for (int round = 0; round < 3; ++round)
    EXPECT_EQ(whole.telegrams, decode(sample, [&] { return 1 + random() % 40; }).telegrams)
        << "in random pieces differs";
}

bool expected(const Sample& sample) {
  return sample.published.present || sample.reference.present;
}

/// What is wrong goes to `why`.
Outcome judge(const Sample& sample, const Decoded& decoded, std::string& why) {
  const bool silent = decoded.telegrams.empty();
  const auto unless_wrong = [&](Outcome outcome) {
    return why.empty() ? outcome : Outcome::wrong;
  };
  if (sample.octets.empty()) return Outcome::unreadable;
  if (sample.published.reject) {
    if (!silent) why = "a telegram came out of what must be rejected";
    return unless_wrong(Outcome::rejected);
  }
  if (sample.encrypted && sample.key.empty()) {
    if (!silent) why = "a telegram came out without its key";
    const bool in_parts = decoded.refused(Errc::lost_fragment) != 0;  // not even its beginning
    if (sample.checksum == "ok" && decoded.refused(Errc::key_missing) == 0 && !in_parts)
      why = "the missing key is not named";
    return unless_wrong(Outcome::locked);
  }
  // Without a checksum nothing says that it is whole, but someone who read it.
  const bool sound = sample.checksum_ok() || (sample.checksum == "none" && expected(sample));
  if (silent && (!sound || sample.published.incomplete)) return Outcome::damaged;
  if (silent) {
    why = "no telegram";
    return Outcome::wrong;
  }
  if (sample.published.present) why = mismatch(decoded.telegrams, sample.published);
  if (why.empty() && sample.reference.present && !reference_is_wrong(sample))
    if (why = mismatch(decoded.telegrams, sample.reference); !why.empty())
      why = "reference decoder:" + why;
  if (!why.empty()) return Outcome::wrong;
  if (sample.published.present) return Outcome::right;
  return sample.reference.present ? Outcome::reference : Outcome::decoded;
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
    for (std::string_view family : families) print(family, counts_[std::string(family)]);
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
  for (const std::string_view family : families)
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
  if (!find_corpus()) GTEST_SKIP() << "no corpus: neither SMARTMETER_CORPUS nor " CORPUS_DEFAULT;
}

}  // namespace
}  // namespace meter::corpus
