// SPDX-License-Identifier: Apache-2.0
// Pause: waiting that Ctrl-C ends.
#pragma once

#include <chrono>
#include <csignal>

namespace tools {

/// Sleeps until a moment or until SIGINT, SIGTERM or SIGHUP, which it blocks for its lifetime.
class Pause {
 public:
  using Time = std::chrono::steady_clock::time_point;
  Pause();
  ~Pause();
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  /// False when a signal asked to stop.
  bool until(Time moment);
  bool stopped() const { return stopped_; }

 private:
  sigset_t signals_{};
  sigset_t before_{};
  bool stopped_ = false;
};

}  // namespace tools
