// SPDX-License-Identifier: Apache-2.0
// Files below /etc that smartmeterctl writes: whole or not at all, by root alone.
#include "tools/smartmeterctl/system_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "tools/fd.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, int error) {
  throw std::runtime_error(fmt::format("{}: {}", file.native(), std::strerror(error)));
}

void write_all(int fd, std::string_view text, const fs::path& file) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(file, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// A rename is on the disk once its directory is.
void sync_directory(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(directory, errno);
  const tools::Fd open(fd);
  if (::fsync(fd) != 0) fail(directory, errno);
}

/// A rename would put the file in the place of a link, and what it leads to would be read no more.
void check_is_file(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(file, error);
  if (fs::is_symlink(status))
    throw std::runtime_error(
        fmt::format("{} is a link to {}, and is not changed: put the file itself in its place",
                    file.native(), fs::read_symlink(file, error).native()));
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw std::runtime_error(file.native() + " is not a regular file");
}

gid_t id_of(const std::string& group) {
  const struct group* found = ::getgrnam(group.c_str());
  if (found == nullptr)
    throw std::runtime_error(
        fmt::format("there is no group {}: install smartmeterd, then run systemd-sysusers", group));
  return found->gr_gid;
}

void give_to(int fd, const std::string& group, const fs::path& file) {
  if (::fchown(fd, 0, id_of(group)) != 0) fail(file, errno);
}

}  // namespace

fs::path below(const std::string& root, std::string_view path) {
  return fs::path(root + std::string(path));
}

void require_root(const std::string& root, std::string_view arguments) {
  if (!root.empty() || ::geteuid() == 0) return;
  throw std::runtime_error(
      fmt::format("only root may do this: run \"sudo smartmeterctl {}\"", arguments));
}

void check_group(const std::string& group) {
  if (!group.empty()) (void)id_of(group);
}

void make_directory(const fs::path& directory, mode_t mode, const std::string& group) {
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  if (error) fail(directory.parent_path(), error.value());
  // Nobody else's until it has its group; and not a moment with more than the mode.
  if (::mkdir(directory.c_str(), mode & S_IRWXU) != 0 && errno != EEXIST) fail(directory, errno);
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(directory, errno);
  const tools::Fd open(fd);
  if (!group.empty()) give_to(fd, group, directory);
  if (::fchmod(fd, mode) != 0) fail(directory, errno);  // whatever the umask is
}

std::string read_file(const fs::path& file) {
  // A pipe in the file's place must not hang us.
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && errno == ENOENT) return {};
  if (fd < 0) fail(file, errno);
  const tools::Fd open(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail(file, errno);
  if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)) return {};  // /dev/null
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(file.native() + " is not a regular file");
  std::string text;
  for (std::array<char, 4096> part;;) {
    const ssize_t size = ::read(fd, part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail(file, errno);
    if (size == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
}

void write_file(const fs::path& file, std::string_view text, mode_t mode,
                const std::string& group) {
  check_is_file(file);
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) fail(file.parent_path(), error.value());
  // Ends in neither ".rules" nor ".toml" nor ".conf": nobody takes it for the file itself.
  std::string temporary = (file.parent_path() / ("." + file.filename().native())).native();
  temporary += ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) fail(file, errno);
  const tools::Fd open(fd);
  try {
    write_all(fd, text, file);
    if (!group.empty()) give_to(fd, group, file);
    if (::fchmod(fd, mode) != 0 || ::fsync(fd) != 0 ||
        ::rename(temporary.c_str(), file.c_str()) != 0)
      fail(file, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_directory(file.parent_path());
}

ChangeLock::ChangeLock(const std::string& root) {
  if (root.empty() && ::geteuid() != 0) return;
  // Not the directories themselves: everybody could lock these, and keep root out.
  const fs::path file = below(root, "/run/smartmeterctl.lock");
  if (!root.empty()) make_directory(file.parent_path(), 0755);
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd_ < 0) fail(file, errno);
  while (::flock(fd_, LOCK_EX) != 0)
    if (errno != EINTR) fail(file, errno);
}

ChangeLock::~ChangeLock() {
  if (fd_ >= 0) ::close(fd_);
}

void remove_file(const fs::path& file) {
  check_is_file(file);
  if (::unlink(file.c_str()) != 0) fail(file, errno);
  sync_directory(file.parent_path());
}

}  // namespace smartmeterctl
