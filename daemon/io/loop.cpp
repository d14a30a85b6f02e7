// SPDX-License-Identifier: Apache-2.0
// Operation and the choice of the back end.
#include "daemon/io/loop.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "daemon/io/loop_base.hpp"
#include "daemon/log.hpp"

namespace smartmeterd::io {

Operation::Operation(Complete complete) : complete_(std::move(complete)) {}

Operation::~Operation() {
  if (loop_ != nullptr) loop_->forget(*this);
}

namespace {

/// What usually stands behind the errno, so that the user knows where to look.
std::string refusal(int error) {
  std::string text = "io_uring: ";
  text += std::strerror(error);
  switch (error) {
    case EPERM:
      return text + " (seccomp filter or kernel.io_uring_disabled)";
    case ENOSYS:
      return text + " (kernel or build without it, or a seccomp filter)";
    case ENOMEM:
      return text + " (RLIMIT_MEMLOCK too small)";
    case EMFILE:
      return text + " (RLIMIT_NOFILE reached)";
    case EINVAL:
      return text + " (kernel older than 5.7)";
    default:
      return text;
  }
}

}  // namespace

std::unique_ptr<Loop> Loop::make(Backend backend) {
  if (backend == Backend::epoll) return make_epoll_loop({});
  auto loop = make_uring_loop();
  if (loop) return std::move(*loop);
  if (backend == Backend::io_uring)
    throw std::system_error(loop.error(), std::generic_category(), "io_uring");
  auto reason = refusal(loop.error());
  log::write(log::Level::notice, log::Event::io_fallback,
             fmt::format("The loop runs on epoll: {}", reason));
  return make_epoll_loop(std::move(reason));
}

}  // namespace smartmeterd::io
