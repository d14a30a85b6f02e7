// SPDX-License-Identifier: Apache-2.0
// SerialPort: a tty, held exclusively, with the line settings of its adapter.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/serial.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/io/stream_port.hpp"
#include "daemon/io/tty_settings.hpp"
#include "daemon/log.hpp"

namespace smartmeterd::io {

namespace {

/// From closing to opening in a reset: the kernel has let go of the port by then, and what a modem
/// line feeds has gone out.
constexpr auto reset_pause = std::chrono::milliseconds(200);

struct Failure {
  PortError error;
  std::string detail;
};

Failure open_failure(int error) {
  std::string text = std::strerror(error);
  switch (error) {
    case EBUSY:
      return {PortError::busy, "another program has opened the port exclusively"};
    case EACCES:
      return {PortError::no_access,
              text + " (the device node's group; udev sets it for claimed adapters)"};
    case EPERM:
      return {PortError::no_access,
              text + " (DeviceAllow= of the service does not name this kind of device)"};
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return {PortError::gone, text};
    default:
      return {PortError::other, text};
  }
}

std::string_view type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "a directory";
    case S_IFREG:
      return "a regular file";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    case S_IFBLK:
      return "a block device";
    default:
      return "not a terminal";
  }
}

ModemLine opposite(ModemLine line) noexcept {
  if (line == ModemLine::keep) return line;
  return line == ModemLine::on ? ModemLine::off : ModemLine::on;
}

/// Only FTDI looks at it: 1 ms instead of 16 until a partial USB packet is handed over.
void set_low_latency(int fd) {
  serial_struct serial{};
  if (ioctl(fd, TIOCGSERIAL, &serial) < 0) return;
  serial.flags |= static_cast<int>(ASYNC_LOW_LATENCY);
  ioctl(fd, TIOCSSERIAL, &serial);
}

std::optional<serial_icounter_struct> read_counters(int fd) {
  serial_icounter_struct counters{};
  if (ioctl(fd, TIOCGICOUNT, &counters) < 0) return std::nullopt;  // ENOTTY: has none
  return counters;
}

/// The driver's counters are 32 bits wide and wrap.
std::uint64_t since(int now, int before) {
  return static_cast<std::uint32_t>(now) - static_cast<std::uint32_t>(before);
}

}  // namespace

class SerialPort final : public StreamPort {
 public:
  SerialPort(Loop& loop, const AdapterConfig& config, PortListener& listener)
      : StreamPort(loop, listener),
        path_(config.device),
        line_at_open_(config.line.value_or(line_default("mbus"))),
        line_(line_at_open_),
        dtr_(config.dtr),
        rts_(config.rts) {}
  ~SerialPort() override { close(); }

  void open() override {
    close();
    open_at(loop().now());
  }

  void reset() override {
    if (is_open()) {
      set_modem_line(fd(), opposite(dtr_), TIOCM_DTR, "DTR");
      set_modem_line(fd(), opposite(rts_), TIOCM_RTS, "RTS");
    }
    close();
    open_at(loop().now() + reset_pause);
  }

  std::string set_line(const LineSettings& line) override {
    if (!is_open()) return "the port is not open";
    // What the kernel holds is kept: it may be the first bytes at the new speed.
    std::string problem = apply_line_settings(fd(), line);
    if (problem.empty()) line_ = line;
    return problem;
  }

  LineCounters counters() const noexcept override {
    const auto now = counters_at_open_ ? read_counters(fd()) : std::nullopt;
    if (!now) return {};
    return {.framing = since(now->frame, counters_at_open_->frame),
            .parity = since(now->parity, counters_at_open_->parity),
            .overrun = since(now->overrun, counters_at_open_->overrun) +
                       since(now->buf_overrun, counters_at_open_->buf_overrun)};
  }

  std::string description() const override { return fmt::format("{} {}", path_, line_.to_text()); }

 private:
  void open_at(TimePoint time) {
    opening_.emplace([this](int) { open_now(); });
    loop().timer(*opening_, time);
  }

  void open_now() {
    opening_.reset();
    // Looked at before opening: opening alone already does something to some devices.
    struct stat status{};
    if (stat(path_.c_str(), &status) < 0) return report(open_failure(errno));
    if (!S_ISCHR(status.st_mode))
      return report({PortError::other, fmt::format("is {}", type_name(status.st_mode))});
    const int fd = ::open(path_.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return report(open_failure(errno));
    if (auto failure = set_up(fd)) {
      ::close(fd);
      return report(*failure);
    }
    counters_at_open_ = read_counters(fd);
    opened(fd);
  }

  std::optional<Failure> set_up(int fd) {
    if (isatty(fd) == 0) return Failure{PortError::other, "is not a terminal"};
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
      return Failure{PortError::busy, "another program holds the port (flock)"};
    ioctl(fd, TIOCEXCL);
    line_ = line_at_open_;
    if (auto problem = apply_line_settings(fd, line_); !problem.empty())
      return Failure{PortError::settings, std::move(problem)};
    ioctl(fd, TCFLSH, 0);  // TCIFLUSH: what arrived with the wrong settings
    set_low_latency(fd);
    set_modem_line(fd, dtr_, TIOCM_DTR, "DTR");
    set_modem_line(fd, rts_, TIOCM_RTS, "RTS");
    return std::nullopt;
  }

  void set_modem_line(int fd, ModemLine wanted, int bit, std::string_view name) const {
    if (wanted == ModemLine::keep) return;
    if (ioctl(fd, wanted == ModemLine::on ? TIOCMBIS : TIOCMBIC, &bit) < 0)
      log::warning("{}: {} cannot be switched: {}", path_, name, std::strerror(errno));
  }

  void report(const Failure& failure) { fail(failure.error, failure.detail); }

  std::string explain(int error) const override {
    return error == 0 || error == EIO ? "hung up (unplugged?)" : std::strerror(error);
  }

  void stop_opening() noexcept override { opening_.reset(); }

  /// The fd lives on until the READ is cancelled: others, and we, may open the port before.
  void closing(int fd) noexcept override {
    counters_at_open_.reset();
    ioctl(fd, TIOCNXCL);
    flock(fd, LOCK_UN);
  }

  std::string path_;
  LineSettings line_at_open_;
  LineSettings line_;  // in force
  ModemLine dtr_;
  ModemLine rts_;
  std::optional<Operation> opening_;
  std::optional<serial_icounter_struct> counters_at_open_;
};

std::unique_ptr<Port> make_serial_port(Loop& loop, const AdapterConfig& config,
                                       PortListener& listener) {
  return std::make_unique<SerialPort>(loop, config, listener);
}

std::unique_ptr<Port> make_port(Loop& loop, const AdapterConfig& config, PortListener& listener) {
  return config.tcp.empty() ? make_serial_port(loop, config, listener)
                            : make_tcp_port(loop, config, listener);
}

LineSettings line_default(std::string_view kind, std::optional<meter::Link> link,
                          Role role) noexcept {
  constexpr LineSettings mbus{2400, 8, 'E', 1};
  switch (link.value_or(meter::Link::raw)) {
    case meter::Link::iec62056_21:
      // The sign-on is at 300 (IEC 62056-21 6.3.1); meters that push by themselves are faster
      // than the 2400 of its mode D.
      return {role == Role::listen ? 9600u : 300u, 7, 'E', 1};
    case meter::Link::amis:  // Netz Oberösterreich, technical specification AMIS
      return {9600, 8, 'E', 1};
    case meter::Link::mbus_master:  // EN 13757-2: 300 or 2400 without a change of speed
      return mbus;
    case meter::Link::sml:
      kind = "ir";
      break;
    case meter::Link::p1:
      kind = "p1";
      break;
    default:
      break;
  }
  if (kind == "ir") return {9600, 8, 'N', 1};
  if (kind == "p1") return {115200, 8, 'N', 1};
  return mbus;
}

}  // namespace smartmeterd::io
