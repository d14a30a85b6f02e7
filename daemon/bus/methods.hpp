// SPDX-License-Identifier: Apache-2.0
// Methods: handlers of the calls in dbus/org.smartmeterd1.xml.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "daemon/bus/bus_sink.hpp"
#include "daemon/bus/history_replies.hpp"

namespace smartmeterd::bus {

/// What members need besides the object that they are of; userdata of the Manager.
struct Service {
  const BusOptions& options;
  /// Path of the meter with this id, or "".
  std::function<std::string(std::string_view id)> find_meter;
  std::uint64_t skipped_readings = 0;  ///< signals that were left out, since start
  HistoryReplies history;
};

/// An object of the model on the bus: userdata of its vtables.
template <class T>
struct Served {
  const T* object = nullptr;
  Service* service = nullptr;
};

/// The object behind a vtable's userdata.
template <class T>
const T& object_of(const void* userdata) noexcept {
  if constexpr (std::is_same_v<T, Service>)
    return *static_cast<const T*>(userdata);
  else
    return *static_cast<const Served<T>*>(userdata)->object;
}

int reload(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept;
int get_meter(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept;
int probe(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept;
int open_capture(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept;
int history(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept;

}  // namespace smartmeterd::bus
