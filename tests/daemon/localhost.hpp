// SPDX-License-Identifier: Apache-2.0
// Whether this machine resolves localhost: a root file system without /etc/hosts does not.
#pragma once

#include <netdb.h>

namespace smartmeterd::test {

inline constexpr const char* no_localhost = "localhost is not known here: there is no /etc/hosts";

inline bool knows_localhost() {
  addrinfo* found = nullptr;
  if (getaddrinfo("localhost", nullptr, nullptr, &found) != 0) return false;
  freeaddrinfo(found);
  return true;
}

}  // namespace smartmeterd::test
