// SPDX-License-Identifier: Apache-2.0
// Resolution: the thread around getaddrinfo.
#include "daemon/io/resolver.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

namespace smartmeterd::io {

Resolution::Resolution(std::string host, std::string service)
    : host_(std::move(host)),
      service_(std::move(service)),
      event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Resolution::~Resolution() {
  if (addresses_ != nullptr) freeaddrinfo(addresses_);
  ::close(event_fd_);
}

std::shared_ptr<Resolution> Resolution::start(std::string host, std::string service) {
  std::shared_ptr<Resolution> resolution(new Resolution(std::move(host), std::move(service)));
  // Signals are the loop's: the thread inherits a mask in which all are blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([resolution] { resolution->run(); }).detach();
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return resolution;
}

void Resolution::run() noexcept {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const int result = getaddrinfo(host_.c_str(), service_.c_str(), &hints, &addresses_);
  if (result == EAI_SYSTEM)
    error_ = std::strerror(errno);
  else if (result != 0)
    error_ = gai_strerror(result);
  const std::uint64_t one = 1;
  static_cast<void>(!::write(event_fd_, &one, sizeof one));
}

}  // namespace smartmeterd::io
