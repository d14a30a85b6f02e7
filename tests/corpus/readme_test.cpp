// SPDX-License-Identifier: Apache-2.0
// README's table of meters says what is true: every profile that a decoder can name stands in it;
// "real capture" only where the corpus has one, everything else at least from the simulator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/corpus/judge.hpp"
#include "tools/metersim/meter.hpp"

namespace meter::corpus {
namespace {

struct Row {
  std::string meter, proven_by;
  std::vector<std::string> profiles;
};

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  for (std::size_t at = 1; at < line.size();) {
    const std::size_t end = std::min(line.find('|', at), line.size());
    std::string cell = line.substr(at, end - at);
    cell.erase(0, cell.find_first_not_of(' '));
    cell.erase(cell.find_last_not_of(' ') + 1);
    cells.push_back(std::move(cell));
    at = end + 1;
  }
  return cells;
}

/// The names between back-ticks.
std::vector<std::string> names_in(const std::string& cell) {
  std::vector<std::string> names;
  for (std::size_t at = cell.find('`'); at != std::string::npos; at = cell.find('`', at)) {
    const std::size_t end = cell.find('`', at + 1);
    names.push_back(cell.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return names;
}

/// The table below "## Meters": meter, operator, interface, encrypted, proven by, profile.
std::vector<Row> rows() {
  std::ifstream readme(README);
  std::vector<Row> found;
  bool in_meters = false;
  for (std::string line; std::getline(readme, line);) {
    if (line.starts_with("## ")) in_meters = line == "## Meters";
    if (!in_meters || !line.starts_with("| ") || line.starts_with("| meter |")) continue;
    const auto cells = cells_of(line);
    if (cells.size() != 6) {
      ADD_FAILURE() << "not six cells: " << line;
      continue;
    }
    found.push_back({cells[0], cells[4], names_in(cells[5])});
  }
  return found;
}

/// The profiles of what the simulator sends.
std::set<std::string> simulated_profiles() {
  std::set<std::string> profiles;
  for (const metersim::Family& family : metersim::families()) {
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    options.control = 0x00;
    const metersim::Octets octets = metersim::Meter(family, options).next().octets();
    Sample sample;
    for (const std::uint8_t octet : octets) sample.octets.push_back(std::byte{octet});
    for (const Telegram& telegram : decode_whole(sample).telegrams)
      profiles.insert(telegram.profile);
  }
  return profiles;
}

/// The profiles of captures that give what their sources published, or another decoder says.
std::set<std::string> captured_profiles() {
  std::set<std::string> profiles;
  const auto corpus = find_corpus();
  if (!corpus) return profiles;
  for (const std::string_view family : corpus_families)
    for (const auto& folder : std::filesystem::directory_iterator(*corpus / family)) {
      if (!folder.is_directory()) continue;
      const Sample sample = load_sample(folder.path());
      const Decoded decoded = decode_whole(sample);
      std::string why;
      const Outcome outcome = judge(sample, decoded, why);
      if (outcome == Outcome::right || outcome == Outcome::reference)
        for (const Telegram& telegram : decoded.telegrams) profiles.insert(telegram.profile);
    }
  return profiles;
}

TEST(ReadmeMeters, EveryRowNamesItsProfile) {
  const auto table = rows();
  EXPECT_GT(table.size(), 20u);
  for (const Row& row : table)
    EXPECT_THAT(row.profiles, testing::Not(testing::IsEmpty())) << row.meter;
}

TEST(ReadmeMeters, EveryProfileStandsThere) {
  std::set<std::string> written;
  for (const Row& row : rows()) written.insert(row.profiles.begin(), row.profiles.end());
  for (const std::string& profile : simulated_profiles())
    EXPECT_TRUE(written.contains(profile)) << profile << " (metersim)";
  for (const std::string& profile : captured_profiles())
    EXPECT_TRUE(written.contains(profile)) << profile << " (a capture)";
}

TEST(ReadmeMeters, WhatProvesARowIsThere) {
  if (!find_corpus()) GTEST_SKIP() << "no corpus";
  const auto simulated = simulated_profiles(), captured = captured_profiles();
  for (const Row& row : rows())
    for (const std::string& profile : row.profiles) {
      if (row.proven_by.starts_with("real capture"))
        EXPECT_TRUE(captured.contains(profile)) << row.meter << ": no capture of " << profile;
      else if (row.proven_by.starts_with("specification only"))
        EXPECT_TRUE(simulated.contains(profile)) << row.meter << ": metersim has no " << profile;
      else
        ADD_FAILURE() << row.meter << ": proven by what?";
    }
}

}  // namespace
}  // namespace meter::corpus
