// SPDX-License-Identifier: Apache-2.0
// What only the start needed leaves the process's memory, and the process goes on.
#include "daemon/start_code.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace smartmeterd {
namespace {

/// KiB of mapped files in memory.
long resident_files() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssFile:")) return std::stol(line.substr(8));
  return 0;
}

bool is_traced() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("TracerPid:")) return line.find_first_of("123456789") != line.npos;
  return false;
}

TEST(StartCode, leaves_the_memory) {
  if (is_traced()) GTEST_SKIP() << "a debugger has its breakpoints there";
  const long before = resident_files();
  ASSERT_GT(before, 0);
  release_start_code();
  EXPECT_LT(resident_files(), before);  // and what runs now has come back
}

}  // namespace
}  // namespace smartmeterd
