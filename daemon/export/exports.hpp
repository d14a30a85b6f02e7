// SPDX-License-Identifier: Apache-2.0
// Exports: every server that the configuration or systemd wants.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/export/export_server.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"

namespace smartmeterd {

/// Sockets of systemd's stay open as long as the service runs. One that listens where an
/// [export.NAME] wants to is that table's; each other one is served by its FileDescriptorName: its
/// format.
class Exports : public Sink {
 public:
  explicit Exports(io::Loop& loop) : loop_(loop) {}
  ~Exports() override;
  Exports(const Exports&) = delete;
  Exports& operator=(const Exports&) = delete;

  /// What systemd has handed over (sd_listen_fds); before `configure`.
  void take_sockets();
  /// Servers that stay the same keep their clients.
  void configure(const std::vector<ExportConfig>& configs);
  void clear() { servers_.clear(); }

  void telegram(const Telegram& telegram) override;
  void raw_telegram(const RawTelegram& telegram) override;
  void meter_added(const Meter& meter) override;
  void meter_removed(const Meter& meter) override;

 private:
  struct Socket {
    int fd;
    ExportConfig config;  ///< where no table wants it
  };
  struct Server {
    std::vector<int> sockets;  ///< of systemd's; not its own copies
    std::unique_ptr<ExportServer> server;
  };
  void add(const ExportConfig& config, std::vector<int> sockets);

  io::Loop& loop_;
  std::vector<Socket> sockets_;
  std::vector<Server> servers_;
};

}  // namespace smartmeterd
