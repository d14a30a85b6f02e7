// SPDX-License-Identifier: Apache-2.0
// Files below /etc that smartmeterctl writes: whole or not at all, by root alone.
#include "tools/smartmeterctl/system_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, int error) {
  throw std::runtime_error(fmt::format("{}: {}", file.native(), std::strerror(error)));
}

/// An open file descriptor, closed when it dies.
class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { ::close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

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
  const OpenFile open(fd);
  if (::fsync(fd) != 0) fail(directory, errno);
}

void give_to(int fd, const std::string& group, const fs::path& file) {
  const struct group* found = ::getgrnam(group.c_str());
  if (found == nullptr)
    throw std::runtime_error(
        fmt::format("there is no group {}: install smartmeterd, then run systemd-sysusers", group));
  if (::fchown(fd, 0, found->gr_gid) != 0) fail(file, errno);
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

void make_directory(const fs::path& directory, mode_t mode, const std::string& group) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) fail(directory, error.value());
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(directory, errno);
  const OpenFile open(fd);
  if (!group.empty()) give_to(fd, group, directory);
  if (::fchmod(fd, mode) != 0) fail(directory, errno);  // whatever the umask is
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file);
  if (!stream) {
    if (errno == ENOENT) return {};
    fail(file, errno);
  }
  std::ostringstream text;
  text << stream.rdbuf();
  return std::move(text).str();
}

void write_file(const fs::path& file, std::string_view text, mode_t mode,
                const std::string& group) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) fail(file.parent_path(), error.value());
  // Ends in neither ".rules" nor ".toml" nor ".conf": nobody takes it for the file itself.
  std::string temporary = (file.parent_path() / ("." + file.filename().native())).native();
  temporary += ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) fail(file, errno);
  const OpenFile open(fd);
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
  if (::unlink(file.c_str()) != 0) fail(file, errno);
  sync_directory(file.parent_path());
}

}  // namespace smartmeterctl
