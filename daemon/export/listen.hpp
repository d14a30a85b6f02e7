// SPDX-License-Identifier: Apache-2.0
// Listening sockets: made here, or handed over by systemd.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "daemon/config.hpp"

namespace smartmeterd {

/// "127.0.0.1:1502", "[::1]:1502" or "unix:/path", as it is configured.
std::string address_text(const ExportConfig& config);
/// Nobody but this machine reaches it.
bool is_local(const ExportConfig& config);

/// Non-blocking sockets that listen there, two for localhost; the caller closes them. Or a sentence
/// that says why not, and what to do. Never asks a name server. A socket file that a former run has
/// left behind is replaced.
std::expected<std::vector<int>, std::string> listen_on(const ExportConfig& config);
/// The socket listens at this address, or at one of localhost's.
bool listens_on(int fd, const ExportConfig& config);
/// Who has connected: "127.0.0.1:41234", or "a local client".
std::string peer_text(int fd);

}  // namespace smartmeterd
