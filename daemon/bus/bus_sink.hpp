// SPDX-License-Identifier: Apache-2.0
// BusSink: org.smartmeterd1 on D-Bus.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::bus {

struct BusOptions {
  std::string address = "system";     ///< "system", "session" or a D-Bus address
  std::string version;                ///< Manager.Version
  std::vector<std::string> features;  ///< Manager.Features
  /// Manager.Reload: reads configuration and keys again; returns an error sentence, or "".
  std::function<std::string()> reload;
  /// Meter.History: calls `done` once, at once or later, on the loop. Empty: NotSupported.
  std::function<void(HistoryQuestion question, HistoryDone done)> history;
  /// Manager.Counters, besides what the bus counts by itself.
  std::function<std::map<std::string, std::uint64_t, std::less<>>()> counters;
};

/// Serves the whole XML of dbus/org.smartmeterd1.xml. A bus that is missing or lost is asked for
/// again with back-off; the objects then come back. Never blocks.
std::unique_ptr<Sink> make_bus_sink(io::Loop& loop, BusOptions options);

}  // namespace smartmeterd::bus
