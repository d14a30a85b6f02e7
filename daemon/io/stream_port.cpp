// SPDX-License-Identifier: Apache-2.0
// StreamPort: receiving into the ring, writing in order, and noticing the end.
#include "daemon/io/stream_port.hpp"

#include <cerrno>
#include <utility>

namespace smartmeterd::io {

namespace {

/// What the line discipline of a terminal holds: room for one whole READ.
constexpr std::size_t read_size = 4096;
/// A peer that takes nothing must not fill the memory: the requests that a session repeats anyway
/// are dropped beyond this.
constexpr std::size_t queue_max = std::size_t{64} * 1024;

}  // namespace

StreamPort::Session::Session(StreamPort& port, int file)
    : fd(file),
      ring(MirroredRing::make()),
      read_operation([&port](int result) { port.read_done(result); }),
      write_operation([&port](int result) { port.write_done(result); }) {}

void StreamPort::opened(int fd) {
  session_ = std::make_shared<Session>(*this, fd);
  const std::weak_ptr session = session_;
  listener_.port_opened();
  if (!session.expired()) start_read();
}

void StreamPort::close() {
  stop_opening();
  if (!session_) return;
  const int fd = session_->fd;
  session_.reset();  // no completion follows
  closing(fd);
  loop_.close(fd);
}

void StreamPort::fail(PortError error, const std::string& detail) {
  close();
  listener_.port_failed(error, detail);
}

void StreamPort::fail_by(int error) {
  switch (error) {
    case 0:
    case EIO:
    case ENXIO:
    case ENODEV:
    case EBADF:
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
      return fail(PortError::gone, explain(error));
    default:
      return fail(PortError::other, explain(error));
  }
}

void StreamPort::start_read() {
  auto& session = *session_;
  if (session.ring->writable().empty()) session.lost += session.ring->make_room(read_size);
  loop_.read(session.read_operation, session.fd, session.ring->writable(), session.ring);
}

void StreamPort::read_done(int result) {
  if (result == -EINTR || result == -EAGAIN) return start_read();
  if (result <= 0) return fail_by(-result);
  session_->ring->produced(static_cast<std::size_t>(result));
  const std::weak_ptr session = session_;
  const auto ring = session_->ring;  // the listener may close the port
  listener_.port_received(*ring, std::exchange(session_->lost, 0));
  if (!session.expired()) start_read();
}

void StreamPort::write(std::span<const std::byte> bytes) {
  if (!session_ || session_->queue.size() + bytes.size() > queue_max) return;
  session_->queue.insert(session_->queue.end(), bytes.begin(), bytes.end());
  if (!session_->write_operation.pending()) start_write();
}

void StreamPort::start_write() {
  auto& session = *session_;
  if (!session.writing) {
    if (session.queue.empty()) return;
    session.writing = std::make_shared<std::vector<std::byte>>(std::move(session.queue));
    session.written = 0;
    session.queue.clear();
  }
  loop_.write(session.write_operation, session.fd,
              std::span(*session.writing).subspan(session.written), session.writing);
}

void StreamPort::write_done(int result) {
  if (result < 0 && result != -EINTR && result != -EAGAIN) return fail_by(-result);
  if (result > 0) session_->written += static_cast<std::size_t>(result);
  if (session_->written == session_->writing->size()) session_->writing.reset();
  start_write();
}

}  // namespace smartmeterd::io
