// SPDX-License-Identifier: Apache-2.0
// Pause: waiting that Ctrl-C ends.
#include "tools/pause.hpp"

#include <algorithm>
#include <cerrno>

namespace tools {

using std::chrono::steady_clock;

Pause::Pause() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  struct sigaction hang_up {};
  // nohup has it ignored, and means that.
  if (sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN)
    sigaddset(&signals_, SIGHUP);
  sigprocmask(SIG_BLOCK, &signals_, &before_);
}

Pause::~Pause() {
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

bool Pause::until(Time moment) {
  while (!stopped_) {
    const auto left = std::max(steady_clock::duration::zero(), moment - steady_clock::now());
    const auto nanoseconds = std::chrono::nanoseconds(left).count();
    const timespec timeout{static_cast<time_t>(nanoseconds / 1'000'000'000),
                           static_cast<long>(nanoseconds % 1'000'000'000)};
    if (sigtimedwait(&signals_, nullptr, &timeout) > 0)
      stopped_ = true;
    else if (errno == EAGAIN)
      break;
  }
  return !stopped_;
}

}  // namespace tools
