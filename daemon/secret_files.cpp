// SPDX-License-Identifier: Apache-2.0
// Secret files: what --check says of them; what is in them is never told.
#include "daemon/secret_files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "daemon/log.hpp"
#include "daemon/open_file.hpp"

namespace smartmeterd {
namespace {

/// Throws ConfigError where no password is in it.
void check(const SecretFile& secret, int fd) {
  const auto fail = [&](std::string_view problem) {
    throw ConfigError(fmt::format("{}: {}: {}", secret.place, secret.file.native(), problem));
  };
  if (fd < 0) fail(std::strerror(errno));
  struct stat status{};
  if (::fstat(fd, &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("expected a regular file with the password on its first line");
  char first = '\n';
  if (::read(fd, &first, 1) < 0) fail(std::strerror(errno));
  if (first == '\n' || first == '\r') fail("expected the password on its first line");
  explicit_bzero(&first, 1);
  if ((status.st_mode & S_IRWXO) != 0)
    log::warning("{}: {}: other users may read or change it, run: chmod o= '{}'", secret.place,
                 secret.file.native(), secret.file.native());
}

}  // namespace

void check_secret_files(const Config& config) {
  for (const SecretFile& secret : config.secret_files) {
    const OpenFile open(secret.file);
    if (open.fd() < 0 && errno == EACCES) {
      log::warning("{}: {} is not checked: {} for this user, run: sudo smartmeterd --check",
                   secret.place, secret.file.native(), std::strerror(EACCES));
      continue;
    }
    check(secret, open.fd());
  }
}

}  // namespace smartmeterd
