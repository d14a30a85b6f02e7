// SPDX-License-Identifier: Apache-2.0
// Secret: text that is wiped from memory, and how a person hands one over.
#include "tools/smartmeterctl/secret.hpp"

#include <fmt/core.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

namespace smartmeterctl {
namespace {

constexpr std::array stopping_signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/// The terminal shows nothing of what is typed while this lives, and does so again after a signal:
/// the signal only interrupts read().
class NoEcho {
 public:
  NoEcho() {
    struct sigaction interrupt{};
    interrupt.sa_handler = [](int) {};
    for (std::size_t i = 0; i < stopping_signals.size(); ++i)
      ::sigaction(stopping_signals[i], &interrupt, &before_[i]);
    if (::tcgetattr(STDIN_FILENO, &settings_) != 0)
      throw std::runtime_error("the terminal cannot hide what is typed: use a pipe");
    termios hidden = settings_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    hidden.c_lflag |= ECHONL;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &hidden);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;
  ~NoEcho() {
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &settings_);
    for (std::size_t i = 0; i < stopping_signals.size(); ++i)
      ::sigaction(stopping_signals[i], &before_[i], nullptr);
  }

 private:
  termios settings_{};
  std::array<struct sigaction, stopping_signals.size()> before_{};
};

}  // namespace

Secret::Secret(std::size_t size_max) {
  text_.reserve(size_max);
}

Secret::~Secret() {
  text_.resize(text_.capacity());
  ::explicit_bzero(text_.data(), text_.size());
}

void Secret::append(std::string_view more) {
  if (more.size() > room()) throw std::length_error("a secret text is too long");
  text_.append(more);
}

bool Secret::read(int fd, bool line) {
  const std::size_t before = text_.size();
  for (;;) {
    char octet = 0;  // one by one: what follows the line belongs to the next reader
    const ssize_t got = ::read(fd, &octet, 1);
    if (got < 0 && errno == EINTR) throw std::runtime_error("stopped");
    if (got < 0) throw std::runtime_error(fmt::format("cannot be read: {}", ::strerror(errno)));
    if (got == 0 || (line && octet == '\n')) return got > 0 || text_.size() > before;
    if (room() == 0) throw std::runtime_error("is longer than any key");
    text_.push_back(octet);
    ::explicit_bzero(&octet, 1);
  }
}

bool is_prompting() {
  return ::isatty(STDIN_FILENO) == 1;
}

void prompt_secret(const std::string& question, Secret& answer) {
  const NoEcho hidden;
  fmt::print(stderr, "{}", question);
  answer.read(STDIN_FILENO, true);
}

}  // namespace smartmeterctl
