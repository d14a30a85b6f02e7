// SPDX-License-Identifier: Apache-2.0
// The log on standard error, and its events against the journal's catalog.
#include "daemon/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <string>

namespace smartmeterd::log {
namespace {

class LogTest : public testing::Test {
 protected:
  LogTest() { ::unsetenv("JOURNAL_STREAM"); }
  ~LogTest() override { set_level(Level::info); }
};

TEST_F(LogTest, LevelsAndLines) {
  testing::internal::CaptureStderr();
  info("{} adapters", 2);
  warning("port {} is busy", "/dev/ttyUSB0");
  debug("not wanted");
  write(Level::error, Event::key_wrong, "key wrong", {{"SMARTMETER_METER", "1"}});
  set_level(Level::error);
  warning("not wanted either");
  set_level(Level::debug);
  debug("wanted");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "smartmeterd: 2 adapters\n"
            "smartmeterd: warning: port /dev/ttyUSB0 is busy\n"
            "smartmeterd: error: key wrong\n"
            "smartmeterd: debug: wanted\n");
}

TEST_F(LogTest, TextFromOutsideStaysOneLineAndHarmless) {
  testing::internal::CaptureStderr();
  info("meter {}", "a\nb\x1b[31m");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "smartmeterd: meter a?b?[31m\n");
}

TEST_F(LogTest, Names) {
  for (const auto level : {Level::error, Level::warning, Level::notice, Level::info, Level::debug})
    EXPECT_EQ(level_from_name(name(level)), level);
  EXPECT_FALSE(level_from_name("loud"));
}

TEST_F(LogTest, EveryEventIsInTheCatalog) {
  std::ifstream catalog(CATALOG);
  ASSERT_TRUE(catalog.is_open());
  std::multiset<std::string> explained;
  for (std::string line; std::getline(catalog, line);)
    if (line.starts_with("-- ")) explained.insert(line.substr(3));
  std::set<std::string> ids;
  for (auto event = static_cast<int>(Event::none) + 1;; ++event) {
    const std::string id(message_id(static_cast<Event>(event)));
    if (id.empty()) break;
    EXPECT_TRUE(std::regex_match(id, std::regex("[0-9a-f]{32}"))) << id;
    EXPECT_TRUE(ids.insert(id).second) << id << " is used twice";
    EXPECT_EQ(explained.count(id), 1u) << id;
  }
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(Event::line_found));
  // smartmeterctl's, of an adapter that nobody has claimed, is explained there too.
  EXPECT_EQ(explained.size(), ids.size() + 1);
}

}  // namespace
}  // namespace smartmeterd::log
