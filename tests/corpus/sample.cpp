// SPDX-License-Identifier: Apache-2.0
// Reads the files of a corpus sample.
#include "tests/corpus/sample.hpp"

#include <simdjson.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace meter::corpus {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Hex text with blanks, line breaks, `_`, `-` and comments (`#`, `//`). A line of a log that holds
/// anything else is left out as a whole.
std::vector<std::byte> octets_of_hex(const std::string& text) {
  std::vector<std::byte> octets;
  std::istringstream lines(text);
  std::string digits;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
    line = line.substr(0, std::min(line.find('#'), line.find("//")));
    std::string kept;
    bool hex = true;
    for (char c : line) {
      if (std::isspace(static_cast<unsigned char>(c)) || c == '_' || c == '-') continue;
      hex = hex && std::isxdigit(static_cast<unsigned char>(c));
      kept += c;
    }
    if (hex) digits += kept;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    octets.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return octets;
}

std::string text_or_empty(simdjson::dom::element object, std::string_view key) {
  std::string_view text;
  if (object[key].get(text) != simdjson::SUCCESS) return {};
  return std::string(text);
}
bool is_true(simdjson::dom::element object, std::string_view key) {
  bool value = false;
  return object[key].get(value) == simdjson::SUCCESS && value;
}

std::uint64_t number_or_zero(simdjson::dom::element object, std::string_view key) {
  std::uint64_t value = 0;
  return object[key].get(value) == simdjson::SUCCESS ? value : 0;
}

ExpectedReading reading_of(simdjson::dom::element json) {
  ExpectedReading reading;
  reading.obis = text_or_empty(json, "obis");
  reading.name = text_or_empty(json, "name");
  reading.text = text_or_empty(json, "text");
  reading.time = text_or_empty(json, "time");
  if (std::uint64_t number = 0; json["record"].get(number) == simdjson::SUCCESS)
    reading.record = {number, number_or_zero(json, "storage"), number_or_zero(json, "tariff"),
                      number_or_zero(json, "device"), text_or_empty(json, "function")};
  reading.unit = text_or_empty(json, "unit");
  if (auto value = text_or_empty(json, "value"); !value.empty()) reading.value = value;
  if (auto value = text_or_empty(json, "tolerance"); !value.empty()) reading.tolerance = value;
  return reading;
}

Expectation expectation_of(const fs::path& path) {
  Expectation expectation;
  if (!fs::exists(path)) return expectation;
  simdjson::dom::parser parser;
  const simdjson::dom::element json = parser.load(path.string());
  expectation.present = true;
  expectation.reject = is_true(json, "reject");
  expectation.incomplete = is_true(json, "incomplete");
  simdjson::dom::array telegrams;
  if (json["telegrams"].get(telegrams) != simdjson::SUCCESS) return expectation;
  for (simdjson::dom::element telegram : telegrams) {
    ExpectedTelegram expected{
        text_or_empty(telegram, "meter"), text_or_empty(telegram, "time"), {}};
    for (simdjson::dom::element reading : telegram["readings"].get_array())
      if (!is_true(reading, "suspect") && !is_true(reading, "optional"))
        expected.readings.push_back(reading_of(reading));
    expectation.telegrams.push_back(std::move(expected));
  }
  return expectation;
}

}  // namespace

std::optional<fs::path> find_corpus() {
  const char* named = std::getenv("SMARTMETER_CORPUS");
  const fs::path corpus = named ? named : CORPUS_DEFAULT;
  if (!fs::is_directory(corpus / "dlms-hdlc")) return std::nullopt;
  return corpus;
}

Sample load_octets(const fs::path& file) {
  Sample sample;
  sample.name = file.filename().string();
  const std::string binary = read_file(file);
  const auto* begin = reinterpret_cast<const std::byte*>(binary.data());
  sample.octets.assign(begin, begin + binary.size());
  return sample;
}

std::vector<std::byte> with_line_ends(const std::vector<std::byte>& octets) {
  std::vector<std::byte> restored;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    if (octets[i] == std::byte{'\n'} && (i == 0 || octets[i - 1] != std::byte{'\r'}))
      restored.push_back(std::byte{'\r'});
    restored.push_back(octets[i]);
  }
  return restored;
}

Sample load_sample(const fs::path& folder) {
  Sample sample;
  sample.family = folder.parent_path().filename().string();
  sample.name = (folder.parent_path().filename() / folder.filename()).string();
  if (fs::exists(folder / "frame.bin")) {
    sample.octets = load_octets(folder / "frame.bin").octets;
  } else if (fs::exists(folder / "frame.hex")) {
    sample.octets = octets_of_hex(read_file(folder / "frame.hex"));
  } else if (fs::exists(folder / "stream.txt")) {
    sample.octets = octets_of_hex(read_file(folder / "stream.txt"));
  } else {
    for (const char* file : {"telegram.txt", "payload.json"})
      if (fs::exists(folder / file)) sample.octets = load_octets(folder / file).octets;
  }
  sample.key = read_file(folder / "key.txt");
  sample.authentication_key = read_file(folder / "authkey.txt");
  simdjson::dom::parser parser;
  const simdjson::dom::element meta = parser.load((folder / "meta.json").string());
  sample.encrypted = text_or_empty(meta, "encrypted") == "yes";
  sample.checksum = text_or_empty(meta, "checksum");
  if (sample.checksum == "ok-after-CRLF") sample.octets = with_line_ends(sample.octets);
  sample.published = expectation_of(folder / "readings.json");
  sample.reference = expectation_of(folder / "readings_refdec.json");
  return sample;
}

}  // namespace meter::corpus
