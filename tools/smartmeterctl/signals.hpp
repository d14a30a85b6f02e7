// SPDX-License-Identifier: Apache-2.0
// Signals: those that a verb ends or stops with, read as what they are in its own time.
#pragma once

#include <signal.h>

#include <initializer_list>
#include <optional>

#include "tools/fd.hpp"

namespace smartmeterctl {

/// Blocks the signals as long as it lives, and has them read from `fd`.
class Signals {
 public:
  explicit Signals(std::initializer_list<int> numbers);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  /// Readable while one is pending.
  int fd() const { return fd_.get(); }
  /// The next one that has come.
  std::optional<int> take();

 private:
  sigset_t before_{};
  tools::Fd fd_;
};

/// Has this process do what the signal does by default: end, or stop until it is continued.
void yield_to(int number);

}  // namespace smartmeterctl
