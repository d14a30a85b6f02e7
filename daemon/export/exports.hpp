// SPDX-License-Identifier: Apache-2.0
// Exports: every server that the configuration or systemd wants.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/export/export_server.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/sinks.hpp"

namespace smartmeterd {

/// Sockets of systemd's stay open as long as the service runs. One that listens where an
/// [export.NAME] wants to is that table's; each other one is served by its FileDescriptorName: its
/// format.
class Exports final : public Sinks {
 public:
  explicit Exports(io::Loop& loop) : loop_(loop) {}
  ~Exports() override;
  Exports(const Exports&) = delete;
  Exports& operator=(const Exports&) = delete;

  /// What systemd has handed over (sd_listen_fds); before `configure`.
  void take_sockets();
  /// Servers that stay the same keep their clients.
  void configure(const std::vector<ExportConfig>& configs);

 private:
  struct Socket {
    int fd;
    ExportConfig config;  ///< where no table wants it
  };
  struct Server {
    std::vector<int> sockets;  ///< of systemd's; not its own copies
    std::unique_ptr<ExportServer> server;
  };
  void serve(const ExportConfig& config, std::vector<int> sockets);

  io::Loop& loop_;
  std::vector<Socket> sockets_;
  std::vector<Server> servers_;
};

}  // namespace smartmeterd
