// SPDX-License-Identifier: Apache-2.0
// Line: where the simulated meter's bytes go: a pseudo terminal, a TCP port, a file.
#include "tools/metersim/line.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tools/metersim/line_speed.hpp"

namespace metersim {
namespace {

namespace fs = std::filesystem;

/// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

int checked(int result, const std::string& what) {
  if (result < 0) throw std::runtime_error(what + ": " + std::strerror(errno));
  return result;
}

/// Reads and forgets what is waiting, so that whoever writes to the meter never blocks.
void discard_input(int fd) {
  char buffer[4096];
  while (::read(fd, buffer, sizeof buffer) > 0) {
  }
}

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
  explicit PtyLine(const std::string& link)
      : master_(checked(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC),
                        "cannot create a pseudo terminal")),
        slave_(-1) {
    checked(grantpt(master_.get()), "grantpt");
    checked(unlockpt(master_.get()), "unlockpt");
    char name[128];
    if (ptsname_r(master_.get(), name, sizeof name) != 0)
      throw std::runtime_error("the pseudo terminal has no name");
    path_ = name;
    // Kept open: without it the master reports a hang-up as soon as a reader closes.
    slave_ = Fd(checked(open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), path_));
    termios settings{};
    checked(tcgetattr(slave_.get(), &settings), path_);
    cfmakeraw(&settings);  // no echo, no translation, even before a reader sets its own
    checked(tcsetattr(slave_.get(), TCSANOW, &settings), path_);
    if (!link.empty()) make_link(link);
  }
  ~PtyLine() override {
    std::error_code ignored;
    if (!link_.empty() && fs::read_symlink(link_, ignored) == path_) fs::remove(link_, ignored);
  }
  std::string where() const override { return path_; }

  bool send(OctetView octets) override {
    discard_input(master_.get());
    // Nobody reads: the next telegram finds an empty line, as on a real one.
    if (!write_patiently(master_.get(), octets)) discard_input(slave_.get());
    return true;
  }

  Octets receive() override { return read_waiting(master_.get()); }

  unsigned baud() const override { return line_speed(slave_.get()); }

  void drain() override {
    // Written octets reach the reader's queue a moment later: empty counts when it stays so.
    int empty_looks = 0;
    for (int waited_ms = 0; waited_ms < 5000 && empty_looks < 20; waited_ms += 10) {
      int unread = 0;
      if (ioctl(slave_.get(), FIONREAD, &unread) != 0) return;
      empty_looks = unread == 0 ? empty_looks + 1 : 0;
      usleep(10'000);
    }
  }

 private:
  void make_link(const std::string& link) {
    std::error_code error;
    if (fs::exists(fs::symlink_status(link)) && !fs::is_symlink(fs::symlink_status(link)))
      throw std::runtime_error(link + ": is there already and no symbolic link");
    const fs::path temporary = link + "." + std::to_string(getpid());
    fs::create_symlink(path_, temporary, error);
    if (!error) fs::rename(temporary, link, error);
    if (error) throw std::runtime_error(link + ": " + error.message());
    link_ = link;
  }
  Fd master_;
  Fd slave_;
  std::string path_;
  fs::path link_;
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
      discard_input(client.get());
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
