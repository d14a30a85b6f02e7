// SPDX-License-Identifier: Apache-2.0
// Line settings of a terminal through termios2, which takes any speed.
#pragma once

#include <string>

#include "daemon/config.hpp"

namespace smartmeterd::io {

/// Raw mode with these settings, VMIN 1 and VTIME 0, modem lines left alone at close. Empty, or
/// why the driver does not do it.
std::string apply_line_settings(int fd, const LineSettings& line);

}  // namespace smartmeterd::io
