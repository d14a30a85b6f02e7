// SPDX-License-Identifier: Apache-2.0
// Settings: what files and command line say together.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "meter/dlms/security.hpp"

namespace smartmeterd {

inline constexpr const char* default_config_file = "/etc/smartmeterd/smartmeterd.toml";
inline constexpr const char* default_state_directory = "/var/lib/smartmeterd";

/// The command line.
struct Options {
  std::filesystem::path config_file = default_config_file;
  bool config_file_given = false;
  std::string bus = "system";  ///< system, session, a D-Bus address, or none
  io::Backend io = io::Backend::automatic;
  std::vector<std::string> mqtt;     ///< --mqtt URL
  std::vector<std::string> devices;  ///< --device …
  std::vector<std::string> exports;  ///< --export …
  bool translate = false;            ///< no serial ports: messages of brokers alone
  std::filesystem::path state_directory = default_state_directory;
};

struct Settings {
  /// Names are unique. A broker of role "both" is two here, one for each direction, and every
  /// broker has a client id that no other one at its address has.
  Config config;
  std::vector<meter::dlms::KeyEntry> keys;
  std::size_t adapters_left_out = 0;  ///< configured, but --translate opens none
  /// Throws ConfigError. `strict`: a key file that cannot be used is one too; else it is logged,
  /// and the others are used.
  static Settings load(const Options& options, bool strict);
};

}  // namespace smartmeterd
