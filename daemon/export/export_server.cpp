// SPDX-License-Identifier: Apache-2.0
// Listening, accepting, sending without waiting.
#include "daemon/export/export_server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "daemon/export/listen.hpp"
#include "daemon/log.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

/// An address that is taken, or not there yet, may come free.
constexpr auto open_interval = 10s;
/// Where no file descriptor is left.
constexpr auto accept_pause = 1s;
/// Thrown away at once; who sends more than that is read no faster than this.
constexpr std::size_t read_size = 16 * 1024;
constexpr auto read_pause = 20ms;
/// The kernel's own queue would grow to megabytes, which are hours of a telegram a second.
constexpr int send_buffer = 64 * 1024;
/// A client whose machine has gone without a word is given up after this.
constexpr int dead_after_ms = 60'000;

void set(int fd, int level, int option, int value) noexcept {
  setsockopt(fd, level, option, &value, sizeof value);  // not of unix sockets
}

std::string text_of_errno(int error) {
  return std::generic_category().message(error);
}

}  // namespace

ExportServer::Listener::Listener(ExportServer& server, int file)
    : fd(file), poll([this, &server](int result) {
        if (result != -ECANCELED) server.accept(*this);
      }) {}

ExportServer::Client::Client(ExportServer& server, int file)
    : fd(file),
      readable([this, &server](int result) {
        if (result == -ECANCELED) return;
        server.read(*this);
        server.forget_gone();
      }),
      writable([this, &server](int result) {
        if (result == -ECANCELED) return;
        server.flush(*this);
        server.forget_gone();
      }),
      pause([this, &server](int result) {
        if (result == 0) server.loop_.poll(readable, fd, POLLIN);
      }) {}

ExportServer::ExportServer(io::Loop& loop, ExportConfig config, std::vector<int> sockets)
    : loop_(loop), config_(std::move(config)), open_timer_([this](int result) {
        if (result == 0) open();
      }) {
  for (const int fd : sockets) listen(fd);
  if (sockets.empty())
    open();
  else
    log::info("export {}: {} at a socket that systemd handed over", config_.name,
              config_.format == ExportFormat::dsmr5 ? "dsmr5" : "received");
}

ExportServer::~ExportServer() {
  for (Client& client : clients_)
    if (client.fd >= 0) loop_.close(client.fd);
  for (Listener& listener : listeners_) {
    // The address is free at once, however long the kernel holds the request. Systemd's goes on.
    if (is_bound_here_) ::shutdown(listener.fd, SHUT_RDWR);
    loop_.close(listener.fd);
  }
  if (is_bound_here_ && !config_.socket.empty()) ::unlink(config_.socket.c_str());
}

void ExportServer::open() {
  const auto fds = listen_on(config_);
  if (!fds) {
    if (told_ != fds.error())
      log::error("export {}: cannot listen on {}: {}", config_.name, address_text(config_),
                 fds.error());
    told_ = fds.error();
    return loop_.timer(open_timer_, loop_.now() + open_interval);
  }
  is_bound_here_ = true;
  told_.clear();
  for (const int fd : *fds) listen(fd);
  log::notice("export {}: listening on {}", config_.name, address_text(config_));
  if (!is_local(config_))
    log::warning(
        "export {}: whoever reaches {} sees the readings: there is no password and no "
        "encryption",
        config_.name, address_text(config_));
}

void ExportServer::listen(int fd) {
  loop_.poll(listeners_.emplace_back(*this, fd).poll, fd, POLLIN);
}

void ExportServer::accept(Listener& listener) {
  for (;;) {
    const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      if (!take_client(fd)) ::close(fd);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) break;
    if (std::exchange(told_, text_of_errno(errno)) != text_of_errno(errno))
      log::warning("export {}: cannot accept a client: {}", config_.name, told_);
    // The client waits meanwhile: asking at once would be asking all the time.
    return loop_.timer(listener.poll, loop_.now() + accept_pause);
  }
  loop_.poll(listener.poll, listener.fd, POLLIN);
}

bool ExportServer::take_client(int fd) {
  if (clients_.size() >= clients_max) {
    if (!std::exchange(full_told_, true))
      log::warning("export {}: {} clients are connected, {} was refused (not said again)",
                   config_.name, clients_max, peer_text(fd));
    return false;
  }
  set(fd, SOL_SOCKET, SO_SNDBUF, send_buffer);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, dead_after_ms / 2000);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, dead_after_ms / 6000);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, dead_after_ms);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  log::debug("export {}: {} connected", config_.name, peer_text(fd));
  Client& client = clients_.emplace_back(*this, fd);
  loop_.poll(client.readable, fd, POLLIN);
  // Not after a wait that may last minutes. What was received is not kept.
  if (config_.format == ExportFormat::dsmr5 && shown_ != nullptr && shown_->fresh)
    send(client, synthetic_.write(*shown_, loop_.now()));
  forget_gone();
  return true;
}

/// Nobody has anything to say to a meter.
void ExportServer::read(Client& client) {
  if (client.fd < 0) return;
  std::array<std::byte, read_size> thrown_away;
  const ssize_t count = ::recv(client.fd, thrown_away.data(), thrown_away.size(), MSG_DONTWAIT);
  if (count == 0) return drop(client, "has closed the connection");
  if (count < 0 && errno != EAGAIN && errno != EINTR) return drop(client, text_of_errno(errno));
  if (count == static_cast<ssize_t>(read_size))
    loop_.timer(client.pause, loop_.now() + read_pause);
  else
    loop_.poll(client.readable, client.fd, POLLIN);
}

void ExportServer::send(Client& client, std::string_view bytes) {
  if (client.fd < 0) return;
  if (client.queue.size() - client.sent + bytes.size() > queue_max) {
    ++dropped_;
    if (!std::exchange(slow_told_, true))
      log::warning("export {}: {} does not keep up and is dropped (not said again)", config_.name,
                   peer_text(client.fd));
    return drop(client, "does not keep up");
  }
  if (client.sent > 0) client.queue.erase(0, std::exchange(client.sent, 0));
  client.queue.append(bytes);
  if (!client.writable.pending()) flush(client);
}

void ExportServer::flush(Client& client) {
  while (client.fd >= 0 && client.sent < client.queue.size()) {
    const ssize_t count = ::send(client.fd, client.queue.data() + client.sent,
                                 client.queue.size() - client.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      client.sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      return loop_.poll(client.writable, client.fd, POLLOUT);
    } else if (errno != EINTR) {
      return drop(client, text_of_errno(errno));
    }
  }
  client.queue.clear();
  client.sent = 0;
}

void ExportServer::send_to_all(std::string_view bytes) {
  for (Client& client : clients_) send(client, bytes);
  forget_gone();
}

/// Its operations are forgotten with it.
void ExportServer::drop(Client& client, std::string_view why) {
  log::debug("export {}: {} {}", config_.name, peer_text(client.fd), why);
  loop_.close(std::exchange(client.fd, -1));
}

bool ExportServer::is_wanted(const Adapter* adapter) const noexcept {
  return config_.adapter.empty() || (adapter != nullptr && (config_.adapter == adapter->name ||
                                                            config_.adapter == adapter->table));
}

/// The first one where several would do.
bool ExportServer::shows(const Meter& meter) {
  if (meter.medium != name(meter::Medium::electricity) || !meter.parent_id.empty()) return false;
  if (!is_wanted(meter.adapter)) return false;
  if (!config_.meter.empty() && config_.meter != meter.id) return false;
  if (shown_ == nullptr) {
    shown_ = &meter;
    synthetic_.forget_sub_meters();
  }
  if (shown_ != &meter && !std::exchange(others_told_, true))
    log::notice(
        "export {}: shows meter {} only; meter = \"…\" or adapter = \"…\" names another "
        "one, and each [export.NAME] may have its own",
        config_.name, shown_->id);
  return shown_ == &meter;
}

void ExportServer::telegram(const Telegram& telegram) {
  // Those behind it follow their meter's.
  const bool is_one_of_it = is_of_meter_ && !telegram.meter.parent_id.empty();
  is_of_meter_ = is_one_of_it || config_.meter.empty() || config_.meter == telegram.meter.id;
  if (config_.format != ExportFormat::dsmr5 || !shows(telegram.meter)) return;
  synthetic_.take(telegram);
  if (!clients_.empty()) send_to_all(synthetic_.write(telegram.meter, loop_.now()));
}

void ExportServer::raw_telegram(const RawTelegram& telegram) {
  const bool is_of_meter = std::exchange(is_of_meter_, false);
  if (config_.format != ExportFormat::received || !telegram.is_verified || !is_of_meter ||
      !is_wanted(&telegram.adapter))
    return;
  send_to_all(meter::text_of(telegram.frames));
}

/// One whose facts have changed goes and comes back at once: it stays the one.
void ExportServer::meter_added(const Meter& meter) {
  if (std::exchange(last_shown_, nullptr) == &meter) shown_ = &meter;
}

void ExportServer::meter_removed(const Meter& meter) {
  if (shown_ != &meter) return;
  last_shown_ = std::exchange(shown_, nullptr);
}

}  // namespace smartmeterd
