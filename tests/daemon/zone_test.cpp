// SPDX-License-Identifier: Apache-2.0
// Standard time of a zone: the examples of POSIX and RFC 9636, and the database of this machine.
#include "daemon/zone.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace smartmeterd {
namespace {

TEST(Zone, PosixNotation) {
  EXPECT_EQ(posix_offset_min("CET-1CEST,M3.5.0,M10.5.0/3"), 60);
  EXPECT_EQ(posix_offset_min("EST5EDT,M3.2.0,M11.1.0"), -300);
  EXPECT_EQ(posix_offset_min("NZST-12:00:00NZDT-13:00:00,M10.1.0,M3.3.0"), 720);
  EXPECT_EQ(posix_offset_min("<+0330>-3:30"), 210);
  EXPECT_EQ(posix_offset_min("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1"), -180);
  EXPECT_EQ(posix_offset_min("UTC0"), 0);
  for (const char* text : {"", "CET", "-1", "C-1", "<CET-1", "CET-x", "CET-99", "CET-1:99"})
    EXPECT_FALSE(posix_offset_min(text)) << text;
}

TEST(Zone, DatabaseOfThisMachine) {
  if (!std::filesystem::exists("/usr/share/zoneinfo/Europe/Vienna"))
    GTEST_SKIP() << "no zone database (tzdata)";
  EXPECT_EQ(standard_offset_min("Europe/Vienna"), 60);
  EXPECT_EQ(standard_offset_min("Europe/Vilnius"), 120);
  EXPECT_EQ(standard_offset_min("Europe/London"), 0);
  EXPECT_EQ(standard_offset_min("UTC"), 0);
  EXPECT_FALSE(standard_offset_min("Europe/Atlantis"));
  EXPECT_FALSE(standard_offset_min("Europe"));
}

TEST(Zone, TheSystemsOwn) {
  setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  EXPECT_EQ(standard_offset_min(""), 60);
  setenv("TZ", ":EST5EDT", 1);
  EXPECT_EQ(standard_offset_min(""), -300);
  unsetenv("TZ");
}

}  // namespace
}  // namespace smartmeterd
