// SPDX-License-Identifier: Apache-2.0
// Alive: the supervisor's end of sd_notify(3), for as long as one sign of life takes.
#include "daemon/alive.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace smartmeterd {
namespace {

using Clock = std::chrono::steady_clock;

/// A datagram socket where the daemon sends to; -1 with errno.
int bind_socket(std::string_view name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  name.copy(address.sun_path, name.size());
  if (name.starts_with('@')) address.sun_path[0] = '\0';  // abstract: no file
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0) return fd;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  errno = error;
  return -1;
}

/// One of these is enough, whatever else is said at the same time.
bool has_sign(std::string_view text) {
  constexpr std::string_view sign = "WATCHDOG=1";
  return text.starts_with(sign) || text.find(std::string("\n").append(sign)) != text.npos;
}

}  // namespace

std::string wait_for_sign_of_life() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  std::uint64_t usec = 0;
  if (name == nullptr || sd_watchdog_enabled(0, &usec) <= 0)
    return "no NOTIFY_SOCKET and WATCHDOG_USEC: no daemon gives a sign of life";
  const int fd = bind_socket(name);
  if (fd < 0) return fmt::format("NOTIFY_SOCKET {}: {}", name, std::strerror(errno));
  const Clock::time_point end = Clock::now() + std::chrono::microseconds(usec);
  std::string problem = fmt::format("no sign of life within {} s", usec / 1'000'000);
  for (auto left = end - Clock::now(); left.count() > 0; left = end - Clock::now()) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(left).count() + 1;
    const timeval limit{.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::array<char, 4096> text;
    const auto size = ::recv(fd, text.data(), text.size(), 0);
    if (size < 0 || !has_sign({text.data(), static_cast<std::size_t>(size)})) continue;
    problem.clear();
    break;
  }
  ::close(fd);
  return problem;
}

}  // namespace smartmeterd
