// SPDX-License-Identifier: Apache-2.0
// Whether watch can draw on this terminal.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tools/smartmeterctl/watch_screen.hpp"

// Last: they make macros of words such as "columns".
#include <curses.h>
#include <term.h>

namespace smartmeterctl {

bool has_screen(std::string& why_not) {
  why_not.clear();
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) return false;
  int error = 0;
  const char* set = std::getenv("TERM");
  const std::string name = set != nullptr ? set : "";
  const bool is_known = setupterm(name.c_str(), STDOUT_FILENO, &error) == OK;
  // A terminal whose cursor cannot be moved is one for lines.
  const char* moves = is_known ? tigetstr("cup") : nullptr;
  if (moves != nullptr && moves != reinterpret_cast<char*>(-1)) return true;
  why_not = fmt::format("{}: one line for each telegram",
                        name.empty() ? "TERM is not set"
                                     : fmt::format("a terminal of type \"{}\" {}", name,
                                                   is_known ? "cannot show more" : "is not known"));
  return false;
}

}  // namespace smartmeterctl
