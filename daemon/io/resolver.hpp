// SPDX-License-Identifier: Apache-2.0
// Resolution: a host name looked up beside the loop, because getaddrinfo blocks for seconds.
#pragma once

#include <netdb.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace smartmeterd::io {

/// Shared by the loop and a short-lived thread; whoever comes last frees it.
class Resolution {
 public:
  /// Starts the thread. Throws std::system_error.
  static std::shared_ptr<Resolution> start(std::string host, std::string service);
  ~Resolution();
  Resolution(const Resolution&) = delete;
  Resolution& operator=(const Resolution&) = delete;

  /// Eight bytes can be read from here into `signal()` when the answer is there; only then the
  /// members below may be called.
  int event_fd() const noexcept { return event_fd_; }
  std::span<std::byte> signal() noexcept { return std::as_writable_bytes(std::span(&signal_, 1)); }
  const addrinfo* addresses() const noexcept { return addresses_; }  ///< owned by this object
  const std::string& error() const noexcept { return error_; }       ///< empty: resolved

 private:
  Resolution(std::string host, std::string service);
  void run() noexcept;

  std::string host_;
  std::string service_;
  int event_fd_;
  std::uint64_t signal_ = 0;
  addrinfo* addresses_ = nullptr;
  std::string error_;
};

}  // namespace smartmeterd::io
