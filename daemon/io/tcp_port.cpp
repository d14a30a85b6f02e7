// SPDX-License-Identifier: Apache-2.0
// TcpPort: a serial line behind a TCP server such as ser2net in raw mode.
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "daemon/io/resolver.hpp"
#include "daemon/io/stream_port.hpp"

namespace smartmeterd::io {

namespace {

/// A dead peer is noticed after 30 s of silence and three unanswered probes.
constexpr int keep_alive_idle_s = 30;
constexpr int keep_alive_interval_s = 10;
constexpr int keep_alive_count = 3;
constexpr int user_timeout_ms = 60'000;
/// 1 + 2 + 4 + 8 s until an attempt to connect is given up.
constexpr int syn_retries = 3;

struct HostAndPort {
  std::string host, port;
};

/// "host:port", "192.0.2.1:port", "[2001:db8::1]:port".
std::optional<HostAndPort> split(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) return std::nullopt;
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return std::nullopt;
  if (host.empty()) return std::nullopt;
  return HostAndPort{std::string(host), std::string(text.substr(colon + 1))};
}

std::string numeric(const addrinfo& address) {
  char host[NI_MAXHOST] = {};
  getnameinfo(address.ai_addr, address.ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

/// Options are hints: where one is refused, the connection works all the same.
void set_options(int fd) {
  const auto set = [fd](int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, keep_alive_idle_s);
  set(IPPROTO_TCP, TCP_KEEPINTVL, keep_alive_interval_s);
  set(IPPROTO_TCP, TCP_KEEPCNT, keep_alive_count);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms);
  set(IPPROTO_TCP, TCP_SYNCNT, syn_retries);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
}

}  // namespace

class TcpPort final : public StreamPort {
 public:
  TcpPort(Loop& loop, const AdapterConfig& config, PortListener& listener)
      : StreamPort(loop, listener), address_(config.tcp) {}
  ~TcpPort() override { close(); }

  void open() override {
    close();
    opening_.emplace(*this);
    loop().timer(opening_->begin, loop().now());
  }

  void reset() override { open(); }

  std::string set_line(const LineSettings& line) override {
    return fmt::format("the line behind a TCP connection keeps its speed, {} is needed",
                       line.to_text());
  }

  LineCounters counters() const noexcept override { return {}; }
  std::string description() const override { return "tcp://" + address_; }

 private:
  /// From open() until connected or failed.
  struct Opening {
    explicit Opening(TcpPort& port)
        : begin([&port](int) { port.resolve(); }),
          resolved([&port](int) { port.connect_first(); }),
          connected([&port](int) { port.connect_done(); }) {}
    Operation begin;
    std::shared_ptr<Resolution> resolution;
    Operation resolved;
    const addrinfo* address = nullptr;  ///< the one that is tried
    int fd = -1;
    Operation connected;
  };

  void resolve() {
    auto target = split(address_);
    if (!target) return fail(PortError::other, fmt::format("\"{}\" is not host:port", address_));
    try {
      opening_->resolution = Resolution::start(std::move(target->host), std::move(target->port));
    } catch (const std::system_error& error) {
      return fail(PortError::other, fmt::format("cannot resolve the name: {}", error.what()));
    }
    auto& resolution = opening_->resolution;
    loop().read(opening_->resolved, resolution->event_fd(), resolution->signal(), resolution);
  }

  void connect_first() {
    const auto& resolution = *opening_->resolution;
    if (!resolution.error().empty())
      return fail(PortError::refused,
                  fmt::format("{}: name not resolved: {}", address_, resolution.error()));
    opening_->address = resolution.addresses();
    connect();
  }

  void connect() {
    const auto& address = *opening_->address;
    opening_->fd =
        socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
    if (opening_->fd < 0) return connect_failed(errno);
    set_options(opening_->fd);
    if (::connect(opening_->fd, address.ai_addr, address.ai_addrlen) < 0 && errno != EINPROGRESS)
      return connect_failed(errno);
    loop().poll(opening_->connected, opening_->fd, POLLOUT);
  }

  void connect_done() {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(opening_->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
    if (error != 0) return connect_failed(error);
    const int fd = std::exchange(opening_->fd, -1);
    opening_.reset();
    opened(fd);
  }

  void connect_failed(int error) {
    loop().close(std::exchange(opening_->fd, -1));
    const auto& address = *opening_->address;
    if (address.ai_next != nullptr) {
      opening_->address = address.ai_next;
      return connect();
    }
    const bool forbidden = error == EACCES || error == EPERM;
    fail(forbidden ? PortError::no_access : PortError::refused,
         fmt::format("no connection to {} port {}: {}", numeric(address),
                     address_.substr(address_.rfind(':') + 1), std::strerror(error)));
  }

  std::string explain(int error) const override {
    return error == 0 ? "connection closed by the other side"
                      : fmt::format("connection lost: {}", std::strerror(error));
  }

  void stop_opening() noexcept override {
    if (!opening_) return;
    const int fd = opening_->fd;
    opening_.reset();
    loop().close(fd);
  }

  std::string address_;
  std::optional<Opening> opening_;
};

std::unique_ptr<Port> make_tcp_port(Loop& loop, const AdapterConfig& config,
                                    PortListener& listener) {
  return std::make_unique<TcpPort>(loop, config, listener);
}

}  // namespace smartmeterd::io
