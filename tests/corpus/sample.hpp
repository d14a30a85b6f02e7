// SPDX-License-Identifier: Apache-2.0
// Sample: one capture of the corpus with what its source says must come out of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace meter::corpus {

/// A register or named value that a telegram must hold.
struct ExpectedReading {
  /// A record of wired M-Bus, by its place in the telegram.
  struct Record {
    std::uint64_t number = 0;
    std::uint64_t storage = 0, tariff = 0, subunit = 0;
    std::string function;  ///< "instantaneous"
  };
  std::optional<Record> record;
  std::string obis;                  ///< "1-0:1.8.0", or empty where the source gives a name
  std::string name;                  ///< the source's name of the quantity
  std::optional<std::string> value;  ///< exact decimal text; nothing for a text
  std::string text;
  std::string time;  ///< when the value was captured; empty: not said
  std::string unit;  ///< empty: the source gives a bare number
  std::optional<std::string> tolerance;
};
struct ExpectedTelegram {
  std::string meter;                      ///< empty: not said
  std::string time;                       ///< empty: not said
  std::vector<ExpectedReading> readings;  ///< without those that the corpus calls suspect
};
/// readings.json or readings_refdec.json.
struct Expectation {
  bool present = false;
  bool reject = false;
  bool incomplete = false;
  std::vector<ExpectedTelegram> telegrams;
};
struct Sample {
  std::string family;                   ///< "dlms-mbus"
  std::string name;                     ///< "dlms-mbus/fkw9-evn-example"
  std::vector<std::byte> octets;        ///< empty: the sample is for reading, not for a machine
  std::string key, authentication_key;  ///< hex digits, or empty
  bool encrypted = false;
  std::string checksum;  ///< of the capture: ok, mixed, bad, none, unknown
  bool checksum_ok() const { return checksum == "ok" || checksum == "ok-after-CRLF"; }
  Expectation published;
  Expectation reference;  ///< of another decoder: weaker evidence
};

/// Bare line feeds become the CR LF that the meter sent: tools that publish texts drop the CR.
std::vector<std::byte> with_line_ends(const std::vector<std::byte>& octets);
/// The families that the decoders are for.
inline constexpr std::string_view corpus_families[] = {
    "dlms-mbus",   "dlms-hdlc",  "dlms-raw",    "dsmr-p1",      "sml",
    "iec62056-21", "mbus-wired", "zigbee-glow", "gplug-tasmota"};

/// The corpus, or nothing where it is absent.
std::optional<std::filesystem::path> find_corpus();
/// A file of octets as a sample without expectation.
Sample load_octets(const std::filesystem::path& file);
/// The sample in a folder. Throws on JSON that can not be read.
Sample load_sample(const std::filesystem::path& folder);

}  // namespace meter::corpus
