// SPDX-License-Identifier: Apache-2.0
// Which server listens at which socket.
#include "daemon/export/exports.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "daemon/export/listen.hpp"
#include "daemon/log.hpp"

namespace smartmeterd {

Exports::~Exports() {
  servers_.clear();
  for (const Socket& socket : sockets_) ::close(socket.fd);
}

void Exports::take_sockets() {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    const std::string name = names[i];
    std::free(names[i]);
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
      log::warning("export: what systemd handed over as {} does not listen; it is left alone",
                   name);
      ::close(fd);
      continue;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    ExportConfig config;
    config.name = name;
    if (name == "received") config.format = ExportFormat::received;
    sockets_.push_back({fd, std::move(config)});
  }
  std::free(names);
}

void Exports::configure(const std::vector<ExportConfig>& configs) {
  std::vector<std::pair<ExportConfig, std::vector<int>>> wanted;
  for (const ExportConfig& config : configs) wanted.emplace_back(config, std::vector<int>());
  for (const Socket& socket : sockets_) {
    auto found = std::ranges::find_if(
        wanted, [&](const auto& each) { return listens_on(socket.fd, each.first); });
    if (found == wanted.end())  // those of one name are served together
      found = std::ranges::find_if(wanted, [&](const auto& each) {
        return each.first == socket.config && !each.second.empty();
      });
    if (found == wanted.end()) found = wanted.insert(found, {socket.config, {}});
    found->second.push_back(socket.fd);
  }
  // First those that go: their addresses may be wanted again.
  std::erase_if(servers_, [&](const Server& each) {
    if (std::ranges::count(wanted, std::pair(each.server->config(), each.sockets)) > 0)
      return false;
    remove(*each.server);
    return true;
  });
  for (auto& [config, sockets] : wanted) serve(config, std::move(sockets));
}

void Exports::serve(const ExportConfig& config, std::vector<int> sockets) {
  const bool is_there = std::ranges::any_of(servers_, [&](const Server& each) {
    return each.server->config() == config && each.sockets == sockets;
  });
  if (is_there) return;
  std::vector<int> own;
  for (const int fd : sockets)
    if (const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); copy >= 0) own.push_back(copy);
  servers_.push_back(
      {std::move(sockets), std::make_unique<ExportServer>(loop_, config, std::move(own))});
  add(*servers_.back().server);
}

}  // namespace smartmeterd
