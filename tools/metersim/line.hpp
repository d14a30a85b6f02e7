// SPDX-License-Identifier: Apache-2.0
// Line: where the simulated meter's bytes go: a pseudo terminal, a TCP port, a file, a broker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tools/metersim/wire.hpp"

namespace metersim {

/// Sending never waits for a reader longer than `patience`: a line without one loses its bytes.
class Line {
 public:
  virtual ~Line() = default;
  /// What a reader opens: "/dev/pts/3", "tcp://127.0.0.1:4161"; empty for a file.
  virtual std::string where() const = 0;
  /// True where bytes would be heard; false where nobody is connected (TCP).
  virtual bool ready() { return true; }
  /// False when the line is gone for good (a closed pipe).
  virtual bool send(OctetView octets) = 0;
  /// What the reader wrote, waiting for it a moment (`pause_ms`); empty when it wrote nothing, and
  /// on a line that is only sent on.
  virtual Octets receive() { return {}; }
  /// True where one call of `send` is one message, so that a telegram must not come in pieces.
  virtual bool takes_messages() const { return false; }
  /// The speed that the reader has set; 0 where there is none.
  virtual unsigned baud() const { return 0; }
  /// Waits until what was sent has been read, for at most five seconds.
  virtual void drain() {}

  static constexpr int patience_ms = 2000;
  static constexpr int pause_ms = 50;
};

/// A pseudo terminal in raw mode; `link`, where not empty, becomes a symbolic link to it.
std::unique_ptr<Line> open_pty(const std::string& link);
/// A server on 127.0.0.1 for any number of readers; port 0: a free one.
std::unique_ptr<Line> open_tcp(std::uint16_t port);
/// A file, "-" for standard output.
std::unique_ptr<Line> open_file(const std::string& path);

}  // namespace metersim
