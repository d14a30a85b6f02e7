// SPDX-License-Identifier: Apache-2.0
// Line: where the simulated meter's bytes go: a pseudo terminal, a TCP port, a file.
#include "tools/metersim/line.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include "tools/fd.hpp"
#include "tools/pty.hpp"

namespace metersim {
namespace {

using tools::checked;
using tools::Fd;

/// What is waiting, or comes within `Line::pause_ms`.
Octets read_waiting(int fd) {
  pollfd readable{fd, POLLIN, 0};
  if (poll(&readable, 1, Line::pause_ms) <= 0) return {};
  Octets octets(4096);
  const ssize_t got = ::read(fd, octets.data(), octets.size());
  octets.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return octets;
}

/// Writes everything to a non-blocking descriptor. False when nobody took a byte for
/// `Line::patience_ms`, or on an error.
bool write_patiently(int fd, OctetView octets) {
  auto progress = std::chrono::steady_clock::now();
  while (!octets.empty()) {
    const ssize_t written = ::write(fd, octets.data(), octets.size());
    const auto now = std::chrono::steady_clock::now();
    if (written > 0) {
      octets = octets.subspan(static_cast<std::size_t>(written));
      progress = now;
    } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
      return false;
    } else if (now - progress > std::chrono::milliseconds(Line::patience_ms)) {
      return false;
    } else {
      pollfd writable{fd, POLLOUT, 0};
      poll(&writable, 1, 20);  // a pty does not always wake its writer: look again soon
    }
  }
  return true;
}

class PtyLine : public Line {
 public:
  explicit PtyLine(const std::string& link) : pty_(link) {}
  std::string where() const override { return pty_.path(); }

  bool send(OctetView octets) override {
    pty_.discard_input();
    // Nobody reads: the next telegram finds an empty line, as on a real one.
    if (!write_patiently(pty_.fd(), octets)) pty_.discard_unread();
    return true;
  }

  Octets receive() override { return read_waiting(pty_.fd()); }

  unsigned baud() const override { return pty_.baud(); }

  void drain() override {
    // Written octets reach the reader's queue a moment later: empty counts when it stays so.
    int empty_looks = 0;
    for (int waited_ms = 0; waited_ms < 5000 && empty_looks < 20; waited_ms += 10) {
      empty_looks = pty_.unread() == 0 ? empty_looks + 1 : 0;
      usleep(10'000);
    }
  }

 private:
  tools::Pty pty_;
};

class TcpLine : public Line {
 public:
  explicit TcpLine(std::uint16_t port)
      : server_(checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket")) {
    const int on = 1;
    checked(setsockopt(server_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    const std::string place = "127.0.0.1:" + std::to_string(port);
    checked(bind(server_.get(), generic, size), place);
    checked(listen(server_.get(), 16), place);
    checked(getsockname(server_.get(), generic, &size), place);
    port_ = ntohs(address.sin_port);
  }
  std::string where() const override { return "tcp://127.0.0.1:" + std::to_string(port_); }

  bool ready() override {
    for (;;) {
      Fd client(accept4(server_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (client.get() < 0) break;
      const int on = 1;
      setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      clients_.push_back(std::move(client));
    }
    std::erase_if(clients_, [](const Fd& client) { return !connected(client.get()); });
    return !clients_.empty();
  }

  bool send(OctetView octets) override {
    std::erase_if(clients_,
                  [octets](const Fd& client) { return !write_patiently(client.get(), octets); });
    return true;
  }

  void drain() override {
    for (const Fd& client : clients_) {
      connected(client.get());  // forgets what the reader says
      shutdown(client.get(), SHUT_WR);
    }
  }

 private:
  /// Forgets what the reader says; false when it has closed.
  static bool connected(int fd) {
    char buffer[4096];
    ssize_t got = 0;
    while ((got = ::read(fd, buffer, sizeof buffer)) > 0) {
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
  }
  Fd server_;
  std::vector<Fd> clients_;
  std::uint16_t port_ = 0;
};

class FileLine : public Line {
 public:
  explicit FileLine(const std::string& path)
      : fd_(path == "-"
                ? checked(dup(STDOUT_FILENO), "standard output")
                : checked(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666),
                          path)) {}
  std::string where() const override { return {}; }
  bool send(OctetView octets) override {
    while (!octets.empty()) {
      const ssize_t written = ::write(fd_.get(), octets.data(), octets.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno == EPIPE) return false;
      checked(static_cast<int>(written), "cannot write");
      octets = octets.subspan(static_cast<std::size_t>(written));
    }
    return true;
  }

 private:
  Fd fd_;
};

}  // namespace

std::unique_ptr<Line> open_pty(const std::string& link) {
  return std::make_unique<PtyLine>(link);
}
std::unique_ptr<Line> open_tcp(std::uint16_t port) {
  return std::make_unique<TcpLine>(port);
}
std::unique_ptr<Line> open_file(const std::string& path) {
  return std::make_unique<FileLine>(path);
}

}  // namespace metersim
