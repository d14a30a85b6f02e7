// SPDX-License-Identifier: Apache-2.0
// A build without liburing: the loop runs on epoll.
#include <cerrno>

#include "daemon/io/loop_base.hpp"

namespace smartmeterd::io {

std::expected<std::unique_ptr<Loop>, int> make_uring_loop() {
  return std::unexpected(ENOSYS);
}

}  // namespace smartmeterd::io
