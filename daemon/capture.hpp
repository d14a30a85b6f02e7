// SPDX-License-Identifier: Apache-2.0
// Captures: clients that get every byte that an adapter receives, as it was received.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "meter/base/bytes.hpp"

namespace smartmeterd {

/// The pipes of one adapter. Writing to one never waits and needs no request of the loop: where a
/// client does not keep up, what does not fit is dropped and counted, and a client that has gone
/// ends its capture. SIGPIPE must be ignored.
class Captures {
 public:
  /// A person, a recording and the doctor at once; each is a system call for each chunk.
  static constexpr std::size_t captures_max = 4;

  /// `source` is what the journal calls the adapter; it may change, and outlives the captures.
  explicit Captures(const std::string& source);
  explicit Captures(std::string&&) = delete;
  ~Captures();
  Captures(const Captures&) = delete;
  Captures& operator=(const Captures&) = delete;

  /// The read end of a new pipe (O_CLOEXEC, O_NONBLOCK), which the caller closes; or an errno,
  /// EUSERS where there are `captures_max` already.
  std::expected<int, int> open();
  /// Hands on what was received. Allocates nothing; costs nothing where nobody captures.
  void write(meter::Bytes bytes) noexcept {
    if (!captures_.empty()) write_to_all(bytes);
  }
  std::size_t size() const noexcept { return captures_.size(); }

 private:
  struct Capture {
    int fd;
    std::uint64_t written = 0;
    std::uint64_t dropped = 0;
    /// False where the client has gone.
    bool write(meter::Bytes bytes) noexcept;
    bool has_reader() const noexcept;
  };
  void write_to_all(meter::Bytes bytes) noexcept;
  void end(const Capture& capture) const noexcept;
  template <class Check>
  void keep_if(Check check);

  const std::string& source_;
  std::vector<Capture> captures_;
};

}  // namespace smartmeterd
