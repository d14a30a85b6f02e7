// SPDX-License-Identifier: Apache-2.0
// watch on a whole terminal: draws the view, and follows keys, sizes and the bus.
#pragma once

#include <string>

#include "tools/smartmeterctl/bus.hpp"

namespace smartmeterctl {

/// Whether standard input and output are a terminal that can be drawn on; else `why_not` says what
/// is missing, or is empty where there is no terminal at all.
bool has_screen(std::string& why_not);

/// Shows all meters, or the one with the path `only`, until the user leaves; the exit status. The
/// terminal is as before in the end, whatever the end is.
int watch_on_screen(Bus& bus, const std::string& only);

}  // namespace smartmeterctl
