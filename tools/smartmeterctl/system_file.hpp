// SPDX-License-Identifier: Apache-2.0
// Files below /etc that smartmeterctl writes: whole or not at all, by root alone.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace smartmeterctl {

/// `path` below `root`, which tests set to a scratch directory; empty: the system itself.
std::filesystem::path below(const std::string& root, std::string_view path);

/// Throws std::runtime_error with the command to type where `root` is empty and the caller is not
/// root: `arguments` is what follows "smartmeterctl".
void require_root(const std::string& root, std::string_view arguments);

/// Throws std::runtime_error with what to do where there is no such group. Empty: none is needed.
void check_group(const std::string& group);

/// Makes the directory and those above it; one that is there is given the mode and the group, too.
/// `group` empty: keeps the caller's. Throws std::runtime_error with the directory's name.
void make_directory(const std::filesystem::path& directory, mode_t mode,
                    const std::string& group = {});

/// What is in the file; empty where there is none, or a link to /dev/null, which switches files
/// off. Throws std::runtime_error with the file's name, also where it is not a regular file.
std::string read_file(const std::filesystem::path& file);

/// Replaces the file by `text`: written beside it, synchronised, renamed. `group` empty: keeps the
/// caller's. Makes missing directories. Throws std::runtime_error with the file's name, also where
/// it is a link.
void write_file(const std::filesystem::path& file, std::string_view text, mode_t mode,
                const std::string& group = {});

/// While it lives no other smartmeterctl changes files below this root: what was read is still so
/// when it is written. Waits for its turn; does nothing for who may not write there anyway.
class ChangeLock {
 public:
  /// Throws std::runtime_error with the name of the lock's file.
  explicit ChangeLock(const std::string& root);
  ChangeLock(const ChangeLock&) = delete;
  ChangeLock& operator=(const ChangeLock&) = delete;
  ~ChangeLock();

 private:
  int fd_ = -1;
};

/// Removes the file for good. Throws std::runtime_error with the file's name, also where it is a
/// link.
void remove_file(const std::filesystem::path& file);

}  // namespace smartmeterctl
