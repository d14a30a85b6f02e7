// SPDX-License-Identifier: Apache-2.0
// termios2: in a file of its own, because <asm/termbits.h> and <termios.h> exclude each other.
#include "tools/line_speed.hpp"

#include <asm/termbits.h>
#include <sys/ioctl.h>

namespace tools {

unsigned line_speed(int fd) {
  termios2 settings{};
  return ioctl(fd, TCGETS2, &settings) == 0 ? settings.c_ospeed : 0;
}

}  // namespace tools
