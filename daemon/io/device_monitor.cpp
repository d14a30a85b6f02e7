// SPDX-License-Identifier: Apache-2.0
// SerialDevice: the name that stays the same wherever it can.
#include "daemon/io/device_monitor.hpp"

#include <algorithm>
#include <string_view>

namespace smartmeterd::io {

std::string SerialDevice::stable_name() const {
  // The project's own link first: other rules make a by-id link of another name.
  for (const std::string_view folder :
       {"/smartmeter/by-id/", "/by-id/", "/smartmeter/by-path/", "/by-path/"}) {
    const auto link = std::ranges::find_if(
        links, [folder](const std::string& path) { return path.find(folder) != path.npos; });
    if (link != links.end()) return base_name(*link);
  }
  return base_name(node);
}

std::string base_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace smartmeterd::io
