// SPDX-License-Identifier: Apache-2.0
// bind() and listen(), and what is to be said where they fail.
#include "daemon/export/listen.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

namespace smartmeterd {
namespace {

constexpr int backlog = 16;
/// Owner and group: clients are of the service's group, or root.
constexpr mode_t socket_mode = 0660;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

/// Numeric addresses alone: a name server must not be waited for. Empty where it is none.
std::vector<Address> addresses_of(const ExportConfig& config) {
  std::vector<Address> addresses;
  if (!config.socket.empty()) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    const std::string path = config.socket;
    if (path.size() >= sizeof local.sun_path) return addresses;
    std::memcpy(local.sun_path, path.data(), path.size());
    Address& address = addresses.emplace_back();
    std::memcpy(&address.storage, &local, sizeof local);
    address.size = sizeof local;
    return addresses;
  }
  const bool is_localhost = config.host == "localhost";
  const auto add = [&](const char* host) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host, std::to_string(config.port).c_str(), &hints, &found) != 0) return;
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(found, freeaddrinfo);
    Address& address = addresses.emplace_back();
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
  };
  add(is_localhost ? "127.0.0.1" : config.host.c_str());
  if (is_localhost) add("::1");
  return addresses;
}

Address address_at(int fd) {
  Address address;
  address.size = sizeof address.storage;
  if (getsockname(fd, address.get(), &address.size) != 0) address.size = 0;
  return address;
}

/// Its file is there, and nobody listens.
bool is_left_behind(const Address& address, const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool is_refused = ::connect(fd, address.get(), address.size) != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return is_refused;
}

/// The fd, or -errno.
int listen_at(const Address& address, const ExportConfig& config) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  const int on = 1;
  if (address.family() != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int bound = ::bind(fd, address.get(), address.size);
  if (bound != 0 && errno == EADDRINUSE && address.family() == AF_UNIX &&
      is_left_behind(address, config.socket)) {
    ::unlink(config.socket.c_str());
    bound = ::bind(fd, address.get(), address.size);
  }
  const bool is_ready =
      bound == 0 &&
      (address.family() != AF_UNIX || ::chmod(config.socket.c_str(), socket_mode) == 0) &&
      ::listen(fd, backlog) == 0;
  if (is_ready) return fd;
  const int error = errno;
  ::close(fd);
  return -error;
}

/// What a person can do about it.
std::string explain(int error, const ExportConfig& config) {
  const std::string reason = std::generic_category().message(error);
  switch (error) {
    case EPERM:
      return fmt::format(
          "{}: the service's sandbox lets nothing but systemd listen; enable "
          "smartmeterd-export.socket (it takes {} by ListenStream= in a drop-in), or set "
          "SocketBindAllow=tcp:{} in a drop-in of smartmeterd.service",
          reason, address_text(config), config.port);
    case EACCES:
      return fmt::format("{}: expected {}", reason,
                         config.socket.empty() ? "a port above 1023"
                                               : "a directory that the service may write to, as "
                                                 "/run/smartmeterd");
    case EADDRINUSE:
      return fmt::format("{}: another program listens there", reason);
    case EADDRNOTAVAIL:
      return fmt::format("{}: no interface of this machine has the address", reason);
    default:
      return reason;
  }
}

}  // namespace

std::string address_text(const ExportConfig& config) {
  if (!config.socket.empty()) return "unix:" + config.socket.string();
  return host_and_port_text(config.host, config.port);
}

bool is_local(const ExportConfig& config) {
  return std::ranges::all_of(addresses_of(config), [](const Address& address) {
    if (address.family() == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, &address.storage, sizeof v4);
      return (ntohl(v4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    }
    if (address.family() != AF_INET6) return true;
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address.storage, sizeof v6);
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
  });
}

std::expected<std::vector<int>, std::string> listen_on(const ExportConfig& config) {
  const std::vector<Address> addresses = addresses_of(config);
  if (addresses.empty())
    return std::unexpected(config.socket.empty()
                               ? "expected the number of an address of this machine, as "
                                 "127.0.0.1, [::1], 0.0.0.0 or [::]"
                               : "the path is too long for a socket");
  std::vector<int> fds;
  int error = 0;
  for (const Address& address : addresses) {
    const int fd = listen_at(address, config);
    if (fd >= 0)
      fds.push_back(fd);
    else if (error == 0)
      error = -fd;
  }
  // A machine without IPv6 has one localhost; a port that is half taken is no good.
  if (!fds.empty() && (error == 0 || error == EADDRNOTAVAIL || error == EAFNOSUPPORT)) return fds;
  for (const int fd : fds) ::close(fd);
  return std::unexpected(explain(error, config));
}

bool listens_on(int fd, const ExportConfig& config) {
  const Address own = address_at(fd);
  return std::ranges::any_of(addresses_of(config), [&](const Address& wanted) {
    if (own.size == 0 || own.family() != wanted.family()) return false;
    if (own.family() == AF_UNIX) {
      sockaddr_un local{};
      std::memcpy(&local, &own.storage, sizeof local);
      return config.socket == local.sun_path;
    }
    return own.size == wanted.size && std::memcmp(&own.storage, &wanted.storage, own.size) == 0;
  });
}

std::string peer_text(int fd) {
  Address peer;
  peer.size = sizeof peer.storage;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getpeername(fd, peer.get(), &peer.size) != 0 || peer.family() == AF_UNIX ||
      getnameinfo(peer.get(), peer.size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "a local client";
  return peer.family() == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                   : fmt::format("{}:{}", host, port);
}

}  // namespace smartmeterd
