// SPDX-License-Identifier: Apache-2.0
// Sample: one capture of the corpus with what its source says must come out of it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace meter::corpus {

/// A register or named value that a telegram must hold.
struct ExpectedReading {
  std::string obis;                  ///< "1-0:1.8.0", or empty where the source gives a name
  std::string name;                  ///< the source's name of the quantity
  std::optional<std::string> value;  ///< exact decimal text; nothing for a text
  std::string text;
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
  std::string name;                     ///< "dlms-mbus/fkw9-evn-example"
  std::vector<std::byte> octets;        ///< empty: the sample is for reading, not for a machine
  std::string key, authentication_key;  ///< hex digits, or empty
  bool encrypted = false;
  bool checksum_ok = false;
  Expectation published;
  Expectation reference;  ///< of another decoder: weaker evidence
};

/// The corpus, or nothing where it is absent.
std::optional<std::filesystem::path> find_corpus();
/// A file of octets as a sample without expectation.
Sample load_octets(const std::filesystem::path& file);
/// The sample in a folder. Throws on JSON that can not be read.
Sample load_sample(const std::filesystem::path& folder);

}  // namespace meter::corpus
