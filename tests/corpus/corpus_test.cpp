// SPDX-License-Identifier: Apache-2.0
// Every real DLMS capture through the whole chain, in one piece and byte by byte, against what its
// source says. Only one decoder's word against another's ("reference") is compared second.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "tests/corpus/sample.hpp"

namespace meter::corpus {
namespace {

/// Samples whose lists have no rule yet. They may give nothing, or registers of unknown scale;
/// a reading that contradicts the source fails all the same.
struct Later {
  std::string_view part_of_name;
  std::string_view reason;
};
constexpr Later later_table[] = {
    {"kamstrup", "Kamstrup: codes and values without scalers"},
    {"aviborg-axdr2data", "Kamstrup: codes and values without scalers"},
    {"hassams-kaifa_1ph", "Kaifa Norway: positional list"},
    {"hassams-kaifa_hourly", "Kaifa Norway: positional list"},
    {"hassams-kaifa_ma304h3e", "Kaifa Norway: positional list"},
    {"hassams-kaifa_ma304h4_long", "Kaifa Norway: positional list"},
    {"hassams-kaifa_ma304h4_short", "Kaifa Norway: positional list"},
    {"hassams-kaifa_ma304h4d", "Kaifa Norway: positional list"},
    {"ams-kaifa-gh180", "Kaifa Norway: positional list"},
    {"ams-kaifa-gh493", "Kaifa Norway: positional list"},
    {"roarfred-kaifa", "Kaifa Norway: positional list"},
    {"hdlc_kaifa_ma304h3e", "Kaifa Norway: positional list"},
    {"aviborg-axdr3data", "Kaifa Norway: positional list"},
    {"aviborg-axdr4data", "Kaifa Norway: positional list"},
    {"iskraemeco-gh", "Iskraemeco AM550 Slovenia: positional list"},
    {"slovenia", "Iskraemeco AM550 Slovenia: positional list"},
    {"burgenland", "Landis+Gyr E450 of Netz Burgenland: positional list"},
    {"xt211", "Sagemcom XT211: attribute descriptors without tags"},
    {"at-sim-p1", "P1 text behind the ciphering"},
};
const Later* find_later(const Sample& sample) {
  for (const Later& row : later_table)
    if (sample.name.find(row.part_of_name) != std::string::npos) return &row;
  return nullptr;
}

/// Captures that hold a part of a telegram only: not even its beginning, or nothing after it.
bool is_fragment(const Sample& sample) {
  return sample.name.find("nooxnet-telegr-4") != std::string::npos ||
         sample.name.find("nooxnet-telegr-5") != std::string::npos ||
         sample.name.find("ct623") != std::string::npos;
}

/// The reference decoder took the descriptors of push-object lists for values.
bool reference_is_wrong(const Sample& sample) {
  return sample.name.find("e450") != std::string::npos ||
         sample.name.find("scs-iskra_am550") != std::string::npos;
}

/// The source's names of quantities; B of the code is a wildcard.
const std::map<std::string_view, std::string_view> obis_of_name = {
    {"active_power_import", "1-0:1.7.0"},
    {"active_power_export", "1-0:2.7.0"},
    {"reactive_power_import", "1-0:3.7.0"},
    {"reactive_power_export", "1-0:4.7.0"},
    {"active_energy_import", "1-0:1.8.0"},
    {"active_energy_export", "1-0:2.8.0"},
    {"reactive_energy_import", "1-0:3.8.0"},
    {"reactive_energy_export", "1-0:4.8.0"},
    {"voltage_l1", "1-0:32.7.0"},
    {"voltage_l2", "1-0:52.7.0"},
    {"voltage_l3", "1-0:72.7.0"},
    {"current_l1", "1-0:31.7.0"},
    {"current_l2", "1-0:51.7.0"},
    {"current_l3", "1-0:71.7.0"},
    {"active_power_import_l1", "1-0:21.7.0"},
    {"active_power_import_l2", "1-0:41.7.0"},
    {"active_power_import_l3", "1-0:61.7.0"},
    {"active_power_export_l1", "1-0:22.7.0"},
    {"active_power_export_l2", "1-0:42.7.0"},
    {"active_power_export_l3", "1-0:62.7.0"},
    {"reactive_power_import_l1", "1-0:23.7.0"},
    {"reactive_power_import_l2", "1-0:43.7.0"},
    {"reactive_power_import_l3", "1-0:63.7.0"},
    {"reactive_power_export_l1", "1-0:24.7.0"},
    {"reactive_power_export_l2", "1-0:44.7.0"},
    {"reactive_power_export_l3", "1-0:64.7.0"},
    {"list_ver_id", "1-1:0.2.129"},
    {"meter_type", "0-0:96.1.7"},
};

/// A ReadingSet without its views.
struct Register {
  Obis obis;
  Reading::Kind kind;
  bool scale_unknown;
  Decimal value;
  Unit unit;
  std::string text;
  friend bool operator==(const Register&, const Register&) = default;
};
struct Telegram {
  std::string meter, time, utc;
  std::vector<Register> registers;
  friend bool operator==(const Telegram&, const Telegram&) = default;
};

std::string utc_of(const DateTime& time) {
  const auto epoch = time.to_epoch_us();
  if (!epoch) return {};
  const std::time_t seconds = *epoch / 1'000'000;
  char text[32];
  std::strftime(text, sizeof text, "%FT%T", std::gmtime(&seconds));
  return text;
}

Telegram keep(const ReadingSet& readings) {
  Telegram telegram;
  telegram.meter = readings.meter_id.view();
  char buffer[DateTime::text_size_max];
  if (readings.time) {
    telegram.time = readings.time->to_text(buffer);
    telegram.utc = utc_of(*readings.time);
  }
  for (const Reading& r : readings.readings) {
    const bool number = r.kind() == Reading::Kind::number;
    telegram.registers.push_back({r.obis(), r.kind(), r.has(Reading::scale_unknown),
                                  number ? r.value() : Decimal{}, r.unit(),
                                  number ? std::string() : std::string(r.text())});
  }
  return telegram;
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

Decoded decode(const Sample& sample, std::size_t piece) {
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
  for (std::size_t at = 0; at < sample.octets.size(); at += piece) {
    const auto begin = sample.octets.begin() + static_cast<std::ptrdiff_t>(at);
    pending.insert(pending.end(), begin,
                   begin + static_cast<std::ptrdiff_t>(std::min(piece, sample.octets.size() - at)));
    run();
  }
  decoder.end_of_input();
  run();
  decoded.refusals.assign(decoder.refusals().begin(), decoder.refusals().end());
  return decoded;
}

const Register* find_register(const Telegram& telegram, const Obis& obis) {
  const Register* found = nullptr;
  for (const Register& each : telegram.registers) {
    Obis any_channel = each.obis;
    any_channel.b = obis.b;
    if (each.obis == obis) return &each;
    if (any_channel == obis && obis.a == 1) found = &each;
  }
  return found;
}

/// |a − b| ≤ the tolerance, or half a unit of the last digit that the source prints.
bool is_close(double a, const ExpectedReading& expected) {
  const std::string& text = *expected.value;
  const std::size_t point = text.find('.');
  const auto decimals = point == std::string::npos ? 0 : text.size() - point - 1;
  const double tolerance = expected.tolerance
                               ? std::stod(*expected.tolerance)
                               : 0.5 * std::pow(10.0, -static_cast<double>(decimals));
  return std::abs(a - std::stod(text)) <= tolerance * (1 + 1e-9);
}

/// What is wrong with a telegram; empty: nothing. `later`: what is not there is not wrong.
std::string mismatch(const Telegram& telegram, const ExpectedReading& expected, bool later) {
  const auto named = obis_of_name.find(expected.name);
  if (expected.obis.empty() && named == obis_of_name.end()) return "no code for " + expected.name;
  const std::string code(expected.obis.empty() ? named->second : expected.obis);
  const Register* found = find_register(telegram, Obis::parse(code).value());
  if (!found && expected.name == "meter_type")  // Kamstrup's code
    found = find_register(telegram, "1-1:96.1.1"_obis);
  if (!found) return later ? "" : code + " is missing";
  if (!expected.value) {
    return later || found->text == expected.text ? "" : code + " = " + found->text;
  }
  if (found->kind != Reading::Kind::number)
    return found->text == *expected.value || later ? "" : code + " is no number";
  char buffer[Decimal::text_size_max];
  const std::string printed = code + " = " + std::string(found->value.to_text(buffer)) + " " +
                              std::string(symbol(found->unit)) + ", not " + *expected.value + " " +
                              expected.unit;
  const bool raw_on_both_sides = found->scale_unknown && expected.unit.empty();
  if (found->scale_unknown && !raw_on_both_sides) return later ? "" : printed + ": scale unknown";
  double value = found->value.to_double();
  // A number without a unit may be what was sent, before any scaler.
  if (expected.unit.empty()) {
    const bool same =
        is_close(value, expected) || is_close(static_cast<double>(found->value.mantissa), expected);
    return same ? "" : printed;
  }
  const auto unit = unit_from_symbol(expected.unit);
  if (!unit) return "unit " + expected.unit;
  const ScaledUnit from = base_of(found->unit), to = base_of(*unit);
  if (from.base != to.base) return printed;
  value *= std::pow(10.0, from.power - to.power);
  return is_close(value, expected) ? "" : printed;
}

std::string mismatch(const Telegram& telegram, const ExpectedTelegram& expected, bool later) {
  std::string all;
  for (const ExpectedReading& reading : expected.readings)
    if (auto one = mismatch(telegram, reading, later); !one.empty()) all += "\n  " + one;
  if (later) return all;
  if (!expected.meter.empty() && expected.meter != telegram.meter)
    all += "\n  meter " + telegram.meter + ", not " + expected.meter;
  // Some sources print the meter's local time, some UTC.
  const std::string time = expected.time.substr(0, 19);
  if (!time.empty() && telegram.time.substr(0, 19) != time && telegram.utc != time)
    all += "\n  time " + telegram.time + ", not " + expected.time;
  return all;
}

/// Telegram k against telegram k where the numbers agree, else some telegram must fit.
std::string mismatch(const Decoded& decoded, const Expectation& expectation, bool later) {
  std::string all;
  const bool paired = decoded.telegrams.size() == expectation.telegrams.size();
  for (std::size_t k = 0; k < expectation.telegrams.size(); ++k) {
    const ExpectedTelegram& expected = expectation.telegrams[k];
    std::string best = later ? "" : "\n  no telegram";
    for (std::size_t i = 0; i < decoded.telegrams.size(); ++i) {
      if (paired && i != k) continue;
      best = mismatch(decoded.telegrams[i], expected, later);
      if (best.empty()) break;
    }
    all += best;
  }
  return all;
}

std::map<std::string, unsigned>& counts() {
  static std::map<std::string, unsigned> value;
  return value;
}
void count(const std::string& what) {
  ++counts()[what];
}

class Corpus : public testing::TestWithParam<std::filesystem::path> {
 public:
  static void TearDownTestSuite() {
    std::cout << "corpus:";
    for (const auto& [what, number] : counts()) std::cout << ' ' << number << ' ' << what << ';';
    std::cout << std::endl;
  }
};

/// No key is known: nothing may come out, and the reason is said.
void expect_locked(const Sample& sample, const Decoded& decoded) {
  count("without key");
  EXPECT_TRUE(decoded.telegrams.empty());
  if (sample.checksum_ok && !is_fragment(sample)) {
    EXPECT_GT(decoded.refused(Errc::key_missing), 0u);
  }
}

void expect_readings(const Sample& sample, const Decoded& decoded) {
  const bool must_decode =
      !sample.published.incomplete && (sample.checksum_ok || sample.published.present);
  if (decoded.telegrams.empty() && !must_decode) return count("refused as damaged");
  EXPECT_FALSE(decoded.telegrams.empty());
  count(sample.published.present ? "published" : "decoded");
  EXPECT_EQ(mismatch(decoded, sample.published, false), "");
  if (sample.reference.present && !reference_is_wrong(sample)) {
    count("agree with the reference decoder");
    EXPECT_EQ(mismatch(decoded, sample.reference, false), "") << "(reference decoder)";
  }
}

TEST_P(Corpus, DecodesAsPublished) {
  Sample sample = load_sample(GetParam());
  // Texts are the weak side of the reference decoder.
  for (ExpectedTelegram& telegram : sample.reference.telegrams)
    std::erase_if(telegram.readings, [](const ExpectedReading& r) { return !r.value; });
  if (sample.octets.empty()) return count("for reading only");
  const Decoded decoded = decode(sample, sample.octets.size());
  const Decoded bytewise = decode(sample, 1);
  EXPECT_EQ(decoded.telegrams, bytewise.telegrams) << "byte by byte differs";
  if (sample.published.reject) {
    count("rejected");
    EXPECT_TRUE(decoded.telegrams.empty());
  } else if (sample.encrypted && sample.key.empty()) {
    expect_locked(sample, decoded);
  } else if (const Later* later = find_later(sample)) {
    count("later");
    std::cout << "later: " << sample.name << ": " << later->reason << '\n';
    EXPECT_EQ(mismatch(decoded, sample.published, true), "") << "a wrong reading";
  } else {
    expect_readings(sample, decoded);
  }
}

std::vector<std::filesystem::path> folders() {
  std::vector<std::filesystem::path> found;
  const auto corpus = find_corpus();
  if (!corpus) return found;
  for (const char* family : {"dlms-mbus", "dlms-hdlc", "dlms-raw"})
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

INSTANTIATE_TEST_SUITE_P(Dlms, Corpus, testing::ValuesIn(folders()), test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Corpus);

/// The inputs of the benchmark, with the keys of its README.
Decoded decode_bench_input(std::string_view file, std::string_view key,
                           std::string_view authentication_key) {
  Sample sample = load_octets(*find_corpus() / "bench" / "inputs" / file);
  sample.key = key;
  sample.authentication_key = authentication_key;
  const Decoded decoded = decode(sample, sample.octets.size());
  EXPECT_EQ(decoded.telegrams, decode(sample, 1).telegrams) << "byte by byte differs";
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
  EXPECT_EQ(mismatch(telegram, expected, false), "");
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
