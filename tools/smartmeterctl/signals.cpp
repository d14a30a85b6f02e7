// SPDX-License-Identifier: Apache-2.0
// Signals: those that a verb ends or stops with, read as what they are in its own time.
#include "tools/smartmeterctl/signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace smartmeterctl {
namespace {

int open_signals(std::initializer_list<int> numbers, sigset_t& before) {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int number : numbers) ::sigaddset(&wanted, number);
  ::sigprocmask(SIG_BLOCK, &wanted, &before);
  const int fd = ::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  return fd;
}

}  // namespace

Signals::Signals(std::initializer_list<int> numbers) : fd_(open_signals(numbers, before_)) {}

Signals::~Signals() {
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> Signals::take() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
    return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

void yield_to(int number) {
  sigset_t one, before;
  ::sigemptyset(&one);
  ::sigaddset(&one, number);
  ::signal(number, SIG_DFL);
  ::raise(number);
  ::sigprocmask(SIG_UNBLOCK, &one, &before);  // here it is delivered
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace smartmeterctl
