// SPDX-License-Identifier: Apache-2.0
// StreamPort: what serial ports and TCP connections share once they have a file descriptor.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/io/port.hpp"

namespace smartmeterd::io {

/// One READ is always pending, straight into the ring; writes are queued behind each other.
class StreamPort : public Port {
 public:
  void close() final;
  bool is_open() const noexcept final { return session_ != nullptr; }
  void write(std::span<const std::byte> bytes) final;

 protected:
  StreamPort(Loop& loop, PortListener& listener) : loop_(loop), listener_(listener) {}
  /// A derived class closes in its own destructor, because closing calls back into it.
  ~StreamPort() override = default;

  /// Takes the fd over, tells the listener, and begins to receive.
  void opened(int fd);
  /// Closes, then tells the listener; the port may be destroyed when this returns.
  void fail(PortError error, const std::string& detail);
  /// The result of a failed read or write in words.
  virtual std::string explain(int error) const = 0;
  /// Gives up an opening that is under way.
  virtual void stop_opening() noexcept = 0;
  /// Last chance to use the fd before it is closed.
  virtual void closing(int) noexcept {}

  Loop& loop() noexcept { return loop_; }
  int fd() const noexcept { return session_ ? session_->fd : -1; }

 private:
  /// From open to close. A completion or a listener that outlives it finds its own one gone.
  struct Session {
    Session(StreamPort& port, int fd);
    int fd;
    /// Its own for each session: the READ of the last one may still be under way.
    std::shared_ptr<MirroredRing> ring;
    std::size_t lost = 0;
    std::shared_ptr<std::vector<std::byte>> writing;
    std::size_t written = 0;
    std::vector<std::byte> queue;
    Operation read_operation;
    Operation write_operation;
  };

  void start_read();
  void start_write();
  void read_done(int result);
  void write_done(int result);
  void fail_by(int error);

  Loop& loop_;
  PortListener& listener_;
  std::shared_ptr<Session> session_;
};

}  // namespace smartmeterd::io
