// SPDX-License-Identifier: Apache-2.0
// Pty: a pseudo terminal that a program reads as if it were a meter adapter.
#include "tools/pty.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>

#include "tools/line_speed.hpp"

namespace tools {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

/// From its settings until a reader has forgotten what came before, and begins to read.
constexpr auto settle_time = 200ms;
/// A reader that makes no settings in this time makes none, and forgets nothing.
constexpr auto settings_limit = 1s;
/// With VMIN 1 a VTIME means nothing: it does not change how a plain read() works.
constexpr cc_t marked_vtime = 99;

void forget_all(int fd) {
  char buffer[4096];
  while (::read(fd, buffer, sizeof buffer) > 0) {
  }
}

}  // namespace

Pty::Pty(const std::string& link)
    : master_(checked(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC),
                      "cannot create a pseudo terminal")) {
  checked(grantpt(master_.get()), "grantpt");
  checked(unlockpt(master_.get()), "unlockpt");
  char name[128];
  if (ptsname_r(master_.get(), name, sizeof name) != 0)
    throw std::runtime_error("the pseudo terminal has no name");
  path_ = name;
  // Kept open: without it the master reports a hang-up as soon as a reader closes.
  slave_ = Fd(checked(open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), path_));
  mark();
  // Before anybody can open it. has_reader() says where this failed: a user has few of them.
  watch_ = Fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (inotify_add_watch(watch_.get(), name, IN_OPEN | IN_CLOSE) < 0) watch_ = Fd();
  if (!link.empty()) make_link(link);
}

Pty::~Pty() {
  std::error_code ignored;
  if (!link_.empty() && fs::read_symlink(link_, ignored) == path_) fs::remove(link_, ignored);
}

void Pty::make_link(const std::string& link) {
  std::error_code error;
  const auto there = fs::symlink_status(link, error);
  if (fs::exists(there) && !fs::is_symlink(there))
    throw std::runtime_error(link + ": is there already and no symbolic link");
  // One of a former run may be replaced: it leads nowhere, or to what may be another's by now.
  const fs::path target = fs::read_symlink(link, error);
  if (fs::is_symlink(there) && fs::exists(link, error) && target.parent_path() != "/dev/pts")
    throw std::runtime_error(link + ": is there already and leads to " + target.string() +
                             ": remove it, or name another one");
  const fs::path temporary = link + "." + std::to_string(getpid());
  fs::create_symlink(path_, temporary, error);
  if (!error) fs::rename(temporary, link, error);
  if (error) throw std::runtime_error(link + ": " + error.message());
  link_ = link;
}

void Pty::mark() {
  termios settings{};
  checked(tcgetattr(slave_.get(), &settings), path_);
  cfmakeraw(&settings);  // no echo, no translation, even before a reader sets its own
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = marked_vtime;
  checked(tcsetattr(slave_.get(), TCSANOW, &settings), path_);
}

bool Pty::is_marked() const {
  termios settings{};
  return tcgetattr(slave_.get(), &settings) == 0 && settings.c_cc[VTIME] == marked_vtime;
}

unsigned Pty::baud() const {
  return line_speed(slave_.get());
}

std::size_t Pty::unread() const {
  int count = 0;
  return ioctl(slave_.get(), FIONREAD, &count) == 0 ? static_cast<std::size_t>(count) : 0;
}

void Pty::discard_input() {
  forget_all(master_.get());
}

void Pty::discard_unread() {
  forget_all(slave_.get());
}

void Pty::count_readers() {
  alignas(inotify_event) char buffer[4096];
  ssize_t size = 0;
  while ((size = ::read(watch_.get(), buffer, sizeof buffer)) > 0) {
    for (const char* at = buffer; at < buffer + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof *event + event->len;
      const int before = readers_;
      if ((event->mask & IN_OPEN) != 0) ++readers_;
      if ((event->mask & IN_CLOSE) != 0) readers_ = std::max(0, readers_ - 1);
      if (before == 0 && readers_ == 1) changed_ = steady_clock::now();
      if (before != 0 && readers_ == 0) {  // the next one makes its settings anew
        is_set_ = false;
        mark();
      }
    }
  }
}

bool Pty::has_reader() {
  if (watch_.get() < 0)
    throw std::runtime_error(
        "who opens the pseudo terminal cannot be seen: too many programs of this user watch files "
        "(sysctl fs.inotify.max_user_instances)");
  count_readers();
  if (readers_ == 0) return false;
  const auto now = steady_clock::now();
  if (!is_set_ && !is_marked()) {
    is_set_ = true;
    changed_ = now;
  }
  return now - changed_ >= (is_set_ ? steady_clock::duration(settle_time) : settings_limit);
}

std::size_t Pty::write_some(std::span<const std::byte> bytes) {
  discard_input();
  const ssize_t count = ::write(master_.get(), bytes.data(), bytes.size());
  return count > 0 ? static_cast<std::size_t>(count) : 0;
}

}  // namespace tools
