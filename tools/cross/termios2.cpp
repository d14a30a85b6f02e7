// SPDX-License-Identifier: Apache-2.0
// termios2 for programs under qemu-user, which knows termios alone: preloaded into what is tested.
#include <asm/termbits.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <iterator>

namespace {

constexpr struct Speed {
  tcflag_t code;
  speed_t baud;
} speeds[] = {{B300, 300},       {B600, 600},         {B1200, 1200},     {B2400, 2400},
              {B4800, 4800},     {B9600, 9600},       {B19200, 19200},   {B38400, 38400},
              {B57600, 57600},   {B115200, 115200},   {B230400, 230400}, {B460800, 460800},
              {B921600, 921600}};

int call(int fd, unsigned long request, void* argument) {
  return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}

int get(int fd, termios2& out) {
  termios now{};  // the first members of termios2
  if (call(fd, TCGETS, &now) != 0) return -1;
  std::memcpy(&out, &now, sizeof now);
  const auto* speed = std::ranges::find(speeds, now.c_cflag & CBAUD, &Speed::code);
  out.c_ispeed = out.c_ospeed = speed == std::end(speeds) ? 0 : speed->baud;
  return 0;
}

int set(int fd, const termios2& wanted) {
  const auto* speed = std::ranges::find(speeds, wanted.c_ospeed, &Speed::baud);
  if (speed == std::end(speeds)) {
    errno = EINVAL;
    return -1;
  }
  termios now{};
  std::memcpy(&now, &wanted, sizeof now);
  now.c_cflag = (now.c_cflag & ~(tcflag_t{CBAUD} | CIBAUD)) | speed->code;
  return call(fd, TCSETS, &now);
}

}  // namespace

// The C library's, in whose place the loader puts it.
extern "C" int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == TCGETS2) return get(fd, *static_cast<termios2*>(argument));
  if (request == TCSETS2) return set(fd, *static_cast<const termios2*>(argument));
  return call(fd, request, argument);
}
