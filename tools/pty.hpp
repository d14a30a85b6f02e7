// SPDX-License-Identifier: Apache-2.0
// Pty: a pseudo terminal that a program reads as if it were a meter adapter.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "tools/fd.hpp"

namespace tools {

/// In raw mode from the start. Both ends are kept open: a reader that leaves hangs nothing up, and
/// the next one goes on. Failures to make it are std::runtime_errors.
class Pty {
 public:
  /// `link`, where not empty, becomes a symbolic link to it, until the end of its life. It may be
  /// one already that leads nowhere or to a pseudo terminal.
  explicit Pty(const std::string& link);
  ~Pty();
  Pty(const Pty&) = delete;
  Pty& operator=(const Pty&) = delete;

  /// What a reader opens: "/dev/pts/3".
  const std::string& path() const { return path_; }
  /// The end to write to, which never waits.
  int fd() const { return master_.get(); }
  /// The speed that the reader has set; 0 where there is none.
  unsigned baud() const;
  /// Bytes that were written and not read.
  std::size_t unread() const;
  /// Forgets what the reader wrote, so that it never blocks.
  void discard_input();
  /// Forgets what was written and not read.
  void discard_unread();

  /// True while a program has it open that will read what is written now: one that has made its
  /// settings (programs for serial ports forget what came before), or has not within a second.
  bool has_reader();
  /// Writes as much as the reader has room for; how much that was.
  std::size_t write_some(std::span<const std::byte> bytes);

 private:
  void make_link(const std::string& link);
  /// Settings that no reader makes: they tell whether one has made its own.
  void mark();
  bool is_marked() const;
  void count_readers();

  Fd master_, slave_;
  std::string path_;
  std::filesystem::path link_;
  Fd watch_;
  int readers_ = 0;
  bool is_set_ = false;
  std::chrono::steady_clock::time_point changed_;  ///< opened, or set
};

}  // namespace tools
