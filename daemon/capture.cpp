// SPDX-License-Identifier: Apache-2.0
// Captures: the write ends of pipes.
#include "daemon/capture.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "daemon/log.hpp"

namespace smartmeterd {

bool Captures::Capture::write(meter::Bytes bytes) noexcept {
  ssize_t count = -1;
  do {
    count = ::write(fd, bytes.data(), bytes.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno != EAGAIN) return false;
  const auto taken = count < 0 ? 0 : static_cast<std::size_t>(count);
  written += taken;
  dropped += bytes.size() - taken;
  return true;
}

bool Captures::Capture::has_reader() const noexcept {
  pollfd entry{fd, 0, 0};  // POLLERR: the read end is closed
  return ::poll(&entry, 1, 0) == 0;
}

Captures::Captures(const std::string& source) : source_(source) {
  captures_.reserve(captures_max);
}

Captures::~Captures() {
  for (const Capture& capture : captures_) end(capture);
}

std::expected<int, int> Captures::open() {
  // A client that left while the meter was silent must not keep others out.
  keep_if([](const Capture& capture) { return capture.has_reader(); });
  if (captures_.size() == captures_max) return std::unexpected(EUSERS);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return std::unexpected(errno);
  captures_.push_back({ends[1]});
  log::info("{}: capture opened, {} of {}", source_, captures_.size(), captures_max);
  return ends[0];
}

void Captures::write_to_all(meter::Bytes bytes) noexcept {
  keep_if([bytes](Capture& capture) { return capture.write(bytes); });
}

template <class Check>
void Captures::keep_if(Check check) {
  std::erase_if(captures_, [&](Capture& capture) {
    if (check(capture)) return false;
    end(capture);
    return true;
  });
}

void Captures::end(const Capture& capture) const noexcept {
  ::close(capture.fd);
  log::info("{}: capture ended, {} bytes, {} of them dropped", source_,
            capture.written + capture.dropped, capture.dropped);
}

}  // namespace smartmeterd
