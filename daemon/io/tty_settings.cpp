// SPDX-License-Identifier: Apache-2.0
// termios2: in a file of its own, because <asm/termbits.h> and <termios.h> exclude each other.
#include "daemon/io/tty_settings.hpp"

#include <asm/termbits.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>

namespace smartmeterd::io {

namespace {

/// Bits of c_cflag that say how a character looks on the line.
constexpr tcflag_t character_flags = CSIZE | PARENB | PARODD | CSTOPB;
/// A divisor seldom hits the speed; 3 % is what a start-stop receiver bears.
constexpr unsigned speed_tolerance_percent = 3;

tcflag_t character_of(const LineSettings& line) {
  tcflag_t flags = line.data_bits == 7 ? CS7 : CS8;
  if (line.parity != 'N') flags |= PARENB;
  if (line.parity == 'O') flags |= PARODD;
  if (line.stop_bits == 2) flags |= CSTOPB;
  return flags;
}

/// A pseudo terminal has no line: it keeps the speed, and silently stays at 8 bits without parity.
/// Majors 136 to 143: admin-guide/devices.txt of the kernel.
bool is_pseudo_terminal(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 && major(status.st_rdev) >= 136 && major(status.st_rdev) <= 143;
}

bool is_near(unsigned actual, unsigned wanted) {
  const auto difference = actual > wanted ? actual - wanted : wanted - actual;
  return std::uint64_t{difference} * 100 <= std::uint64_t{wanted} * speed_tolerance_percent;
}

std::string compare(int fd, const LineSettings& line) {
  termios2 actual{};
  if (ioctl(fd, TCGETS2, &actual) < 0) return fmt::format("TCGETS2: {}", std::strerror(errno));
  if (!is_near(actual.c_ospeed, line.baud))
    return fmt::format("the driver made {} baud of {}", actual.c_ospeed, line.baud);
  // VMIN 0 would let a READ return at once with nothing, which looks like a hang-up.
  if (actual.c_lflag != 0 || actual.c_cc[VMIN] != 1 || actual.c_cc[VTIME] != 0)
    return "the driver does not do raw mode";
  if ((actual.c_cflag & character_flags) != character_of(line) && !is_pseudo_terminal(fd))
    return fmt::format("the driver does not do {} (data bits, parity or stop bits)",
                       line.to_text());
  return {};
}

}  // namespace

std::string apply_line_settings(int fd, const LineSettings& line) {
  termios2 settings{};
  if (ioctl(fd, TCGETS2, &settings) < 0) return fmt::format("TCGETS2: {}", std::strerror(errno));
  settings.c_iflag = settings.c_oflag = settings.c_lflag = 0;
  // Without HUPCL the last close leaves DTR alone: an optical head fed from it stays on.
  settings.c_cflag = CREAD | CLOCAL | character_of(line) | BOTHER | (BOTHER << IBSHIFT);
  settings.c_ispeed = settings.c_ospeed = line.baud;
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  // Not TCSETSW2: waiting for output to drain can hang on an adapter that is being pulled.
  if (ioctl(fd, TCSETS2, &settings) < 0)
    return fmt::format("{}: {}", line.to_text(), std::strerror(errno));
  return compare(fd, line);
}

}  // namespace smartmeterd::io
