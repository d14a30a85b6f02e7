// SPDX-License-Identifier: Apache-2.0
// OpenFile: a file that is read, closed when it dies.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

namespace smartmeterd {

/// Waits for nobody, whatever lies there (a pipe, a terminal).
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& file)
      : fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  /// Negative where it could not be opened, for which errno has the reason.
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace smartmeterd
