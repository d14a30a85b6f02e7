// SPDX-License-Identifier: Apache-2.0
// Port: where bytes come from. A serial port or a TCP connection behind the same interface.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/io/mirrored_ring.hpp"

namespace smartmeterd::io {

/// Why a port is not open.
enum class PortError : std::uint8_t {
  gone,        ///< no such device, unplugged, hung up, connection closed
  busy,        ///< another program holds it (flock or TIOCEXCL)
  no_access,   ///< permissions
  refused,     ///< TCP connection refused, name not resolved
  settings,    ///< the driver does not do the line settings
  other,
};

/// Errors that the driver counted since the port was opened (TIOCGICOUNT); zero where unknown.
struct LineCounters {
  std::uint64_t framing = 0, parity = 0, overrun = 0;
};

/// Told what happens on a port. Implemented by the device that owns it.
class PortListener {
 public:
  virtual ~PortListener() = default;
  virtual void port_opened() = 0;
  /// New bytes are in `ring`; consume what is done with. `lost`: oldest bytes that a full ring
  /// had to drop first.
  virtual void port_received(MirroredRing& ring, std::size_t lost) = 0;
  /// The port closed by itself or could not be opened: `detail` for the log. It is closed already.
  virtual void port_failed(PortError error, const std::string& detail) = 0;
};

/// Opened and re-opened by its owner; it never retries by itself.
class Port {
 public:
  virtual ~Port() = default;
  /// Starts opening; answers by port_opened or port_failed, never from inside this call.
  virtual void open() = 0;
  /// Cancels and closes at once; no listener call follows. Harmless when closed.
  virtual void close() = 0;
  /// Closes, and opens after a moment, so that driver and adapter start afresh; answers as open()
  /// does. A modem line that the configuration switches is put the other way meanwhile.
  virtual void reset() = 0;
  virtual bool is_open() const noexcept = 0;
  /// Queues bytes for writing (roles reader and master only).
  virtual void write(std::span<const std::byte> bytes) = 0;
  /// Other line settings from now on, until the port is opened again; what is queued for writing
  /// goes out with the new ones. Empty, or why it cannot be done.
  virtual std::string set_line(const LineSettings& line) = 0;
  virtual LineCounters counters() const noexcept = 0;
  /// "/dev/ttyUSB0 2400-8E1", "tcp://host:port"
  virtual std::string description() const = 0;
};

/// tty: O_NONBLOCK, flock, TIOCEXCL, termios2 raw with VMIN=1, HUPCL off, low latency.
std::unique_ptr<Port> make_serial_port(Loop& loop, const AdapterConfig& config,
                                       PortListener& listener);
/// TCP client as ser2net offers it: keep-alive on; connecting never blocks the loop.
std::unique_ptr<Port> make_tcp_port(Loop& loop, const AdapterConfig& config,
                                    PortListener& listener);
/// By what the configuration names.
std::unique_ptr<Port> make_port(Loop& loop, const AdapterConfig& config, PortListener& listener);

/// Usual settings of a link, in a role; where the link does not tell, of an adapter kind ("mbus"
/// 2400-8E1, "ir" 9600-8N1, "p1" 115200-8N1).
LineSettings line_default(std::string_view kind, std::optional<meter::Link> link = {},
                          Role role = Role::listen) noexcept;

}  // namespace smartmeterd::io
