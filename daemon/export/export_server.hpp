// SPDX-License-Identifier: Apache-2.0
// ExportServer: telegrams for every program that connects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/export/synthetic_telegram.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"

namespace smartmeterd {

/// One [export.NAME]. Nobody is waited for: a client that does not keep up is dropped, the others
/// do not notice. What clients send is thrown away. There is neither encryption nor authentication.
class ExportServer : public Sink {
 public:
  /// At one time; who comes then is closed at once.
  static constexpr std::size_t clients_max = 64;
  /// What waits for one client beside what the kernel holds for it: more than a minute of P1.
  static constexpr std::size_t queue_max = std::size_t{128} * 1024;

  /// Listens at once, or tries again until it can. `sockets` that listen already, if there are any,
  /// take the place of its own; it closes them.
  ExportServer(io::Loop& loop, ExportConfig config, std::vector<int> sockets = {});
  ~ExportServer() override;
  ExportServer(const ExportServer&) = delete;
  ExportServer& operator=(const ExportServer&) = delete;

  const ExportConfig& config() const noexcept { return config_; }
  bool is_listening() const noexcept { return !listeners_.empty(); }
  std::size_t clients() const noexcept { return clients_.size(); }
  /// Clients that did not keep up, since start.
  std::uint64_t dropped() const noexcept { return dropped_; }

  void telegram(const Telegram& telegram) override;
  void raw_telegram(const RawTelegram& telegram) override;
  void meter_added(const Meter& meter) override;
  void meter_removed(const Meter& meter) override;

 private:
  struct Listener {
    Listener(ExportServer& server, int fd);
    int fd;
    io::Operation poll;
  };
  struct Client {
    Client(ExportServer& server, int fd);
    int fd;                ///< -1: gone, and about to be forgotten
    std::string queue;     ///< what the kernel has not taken yet
    std::size_t sent = 0;  ///< of the queue
    io::Operation readable;
    io::Operation writable;
    io::Operation pause;  ///< of reading
  };

  void open();
  void listen(int fd);
  void accept(Listener& listener);
  bool take_client(int fd);
  void read(Client& client);
  void flush(Client& client);
  void send(Client& client, std::string_view bytes);
  void send_to_all(std::string_view bytes);
  void drop(Client& client, std::string_view why);
  void forget_gone() {
    clients_.remove_if([](const Client& client) { return client.fd < 0; });
  }
  bool is_wanted(const Adapter* adapter) const noexcept;
  bool shows(const Meter& meter);

  io::Loop& loop_;
  ExportConfig config_;
  std::list<Listener> listeners_;
  std::list<Client> clients_;
  io::Operation open_timer_;
  std::string told_;            ///< why it does not listen, once
  bool is_bound_here_ = false;  ///< not handed over
  bool slow_told_ = false;
  bool full_told_ = false;
  std::uint64_t dropped_ = 0;

  const Meter* shown_ = nullptr;       ///< the one that dsmr5 is about
  const Meter* last_shown_ = nullptr;  ///< gone; not to be looked into
  bool others_told_ = false;
  bool is_of_meter_ = false;  ///< the raw telegram that follows is the configured meter's
  SyntheticTelegram synthetic_;
};

}  // namespace smartmeterd
