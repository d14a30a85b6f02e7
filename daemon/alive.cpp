// SPDX-License-Identifier: Apache-2.0
// Alive: the supervisor's end of sd_notify(3), for as long as one sign of life takes.
#include "daemon/alive.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
#include <filesystem>
#include <string_view>
#include <thread>

namespace smartmeterd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds watchdog_max = std::chrono::days(1);
constexpr std::chrono::milliseconds turn_interval{50};  // between two looks whether it is our turn

/// A datagram socket where the daemon sends to, and no file where there was none.
class Listener {
 public:
  explicit Listener(std::string_view name) : name_(name), is_file_(name.front() == '/') {
    address_.sun_family = AF_UNIX;
    name_.copy(address_.sun_path, name_.size());
    if (!is_file_) address_.sun_path[0] = '\0';  // abstract
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() {
    if (fd_ < 0) return;
    if (is_file_) ::unlink(name_.c_str());
    ::close(fd_);
  }
  /// Whether `name` fits in an address.
  static bool fits(std::string_view name) { return name.size() < sizeof address_.sun_path; }
  /// 0, or errno: EADDRINUSE while somebody else listens there.
  int bind();
  int fd() const { return fd_; }

 private:
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const {
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
  }
  bool is_left_behind(int fd) const;

  const std::string name_;
  const bool is_file_;
  sockaddr_un address_{};
  int fd_ = -1;
};

/// One who was killed leaves its file behind, and nobody listens there.
bool Listener::is_left_behind(int fd) const {
  struct stat status{};
  return ::lstat(name_.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) &&
         ::connect(fd, address(), size()) != 0 && errno == ECONNREFUSED;
}

int Listener::bind() {
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = ::bind(fd, address(), size()) == 0 ? 0 : errno;
  if (error == EADDRINUSE && is_file_) {
    // Two who find the same file must not remove each other's.
    const std::filesystem::path directory = std::filesystem::path(name_).parent_path();
    const int lock = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock >= 0 && ::flock(lock, LOCK_EX | LOCK_NB) == 0 && is_left_behind(fd)) {
      ::unlink(name_.c_str());
      error = ::bind(fd, address(), size()) == 0 ? 0 : errno;
    }
    if (lock >= 0) ::close(lock);
  }
  if (error == 0)
    fd_ = fd;
  else
    ::close(fd);
  return error;
}

/// One of these is enough, whatever else is said at the same time.
bool has_sign(std::string_view text) {
  constexpr std::string_view sign = "WATCHDOG=1";
  return text.starts_with(sign) || text.find(std::string("\n").append(sign)) != text.npos;
}

/// Whether there is a sign of life before the end.
bool hears_sign(int fd, Clock::time_point end) {
  for (auto left = end - Clock::now(); left.count() > 0; left = end - Clock::now()) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(left).count() + 1;
    const timeval limit{.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::array<char, 4096> text;
    const auto size = ::recv(fd, text.data(), text.size(), 0);
    if (size >= 0 && has_sign({text.data(), static_cast<std::size_t>(size)})) return true;
  }
  return false;
}

/// Empty, or why no daemon can be told by NOTIFY_SOCKET to speak there.
std::string name_problem(std::string_view name) {
  if (name.size() < 2 || (name.front() != '/' && name.front() != '@'))
    return fmt::format("NOTIFY_SOCKET \"{}\": expected an absolute path, or @ and a name", name);
  if (!Listener::fits(name))
    return fmt::format("NOTIFY_SOCKET {}: {}", name, std::strerror(ENAMETOOLONG));
  std::error_code error;
  const auto status = std::filesystem::symlink_status(name, error);
  if (name.front() == '/' && std::filesystem::exists(status) &&
      !std::filesystem::is_socket(status))
    return fmt::format("NOTIFY_SOCKET {}: is no socket, and stays as it is", name);
  return {};
}

}  // namespace

std::string wait_for_sign_of_life() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  std::uint64_t usec = 0;
  const int watchdog = sd_watchdog_enabled(0, &usec);
  if (name == nullptr || watchdog == 0)
    return "no NOTIFY_SOCKET and WATCHDOG_USEC: no daemon gives a sign of life";
  if (std::string problem = name_problem(name); !problem.empty()) return problem;
  if (watchdog < 0 || usec > static_cast<std::uint64_t>(watchdog_max.count()))
    return fmt::format("WATCHDOG_USEC: expected microseconds, from 1 to {} (a day); NOTIFY_SOCKET "
                       "was not listened to", watchdog_max.count());
  const Clock::time_point end = Clock::now() + std::chrono::microseconds(usec);
  const double seconds = static_cast<double>(usec) / 1e6;
  Listener listener(name);
  int error = listener.bind();
  for (; error == EADDRINUSE && Clock::now() < end; error = listener.bind())
    std::this_thread::sleep_for(turn_interval);
  if (error == EADDRINUSE)
    return fmt::format("NOTIFY_SOCKET {}: another one listened there for all of {:g} s: a second "
                       "--alive, or a supervisor, which needs no --alive", name, seconds);
  if (error != 0) return fmt::format("NOTIFY_SOCKET {}: {}", name, std::strerror(error));
  if (hears_sign(listener.fd(), end)) return {};
  return fmt::format("no sign of life within {:g} s", seconds);
}

}  // namespace smartmeterd
