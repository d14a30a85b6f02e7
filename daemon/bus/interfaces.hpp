// SPDX-License-Identifier: Apache-2.0
// Interfaces: the vtables of dbus/org.smartmeterd1.xml, and what a change signal has to name.
#pragma once

#include <systemd/sd-bus.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "daemon/bus/writer.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::bus {

inline constexpr const char* root_path = "/org/smartmeterd1";
inline constexpr const char* manager_interface = "org.smartmeterd1.Manager";
inline constexpr const char* publisher_interface = "org.smartmeterd1.Publisher";
inline constexpr const char* adapter_interface = "org.smartmeterd1.Adapter";
inline constexpr const char* meter_interface = "org.smartmeterd1.Meter";

/// An interface of an object; its vtable's userdata is a Served, of the Manager a Service.
struct Interface {
  const char* name;
  const sd_bus_vtable* vtable;
};

const sd_bus_vtable* manager_vtable() noexcept;

/// "/org/smartmeterd1/<kind>/<name, escaped>"
std::string object_path(const char* kind, std::string_view name);

/// Microseconds since the epoch as type t.
constexpr std::uint64_t epoch_us(std::int64_t us) noexcept {
  return us < 0 ? 0 : static_cast<std::uint64_t>(us);
}

/// What is served of one type of the model: its interfaces, and the properties that
/// PropertiesChanged names, in the order of `Values`.
struct PublisherView {
  using Type = Publisher;
  using Values = std::tuple<std::string, std::string, std::string, std::string>;
  static constexpr const char* interface = publisher_interface;
  static constexpr std::array names = {"Role", "State", "Broker", "LastError"};
  static Values read(const Publisher& publisher);
  static std::string path(const Publisher& publisher);
  static std::vector<Interface> interfaces(const Publisher& publisher);
};

struct AdapterView {
  using Type = Adapter;
  using Values =
      std::tuple<std::string, std::vector<std::string>, std::string, std::string, std::string,
                 AdapterState, Problem, std::string, LineSource, std::string>;
  static constexpr const char* interface = adapter_interface;
  static constexpr std::array names = {"Device",     "Links", "Kind",    "UsbId",
                                       "Serial",     "State", "Problem", "LineSettings",
                                       "LineSource", "Protocol"};
  static Values read(const Adapter& adapter);
  static std::string path(const Adapter& adapter);
  static std::vector<Interface> interfaces(const Adapter& adapter);
};

struct MeterView {
  using Type = Meter;
  using Values = std::tuple<std::string, std::string, std::string, const Adapter*, bool, KeyState,
                            double, std::int64_t, std::string, meter::Authentication, meter::Link>;
  static constexpr const char* interface = meter_interface;
  static constexpr std::array names = {"Name",      "Manufacturer",  "Model",    "Adapter",
                                       "Encrypted", "KeyState",      "Interval", "LastUpdate",
                                       "MeterTime", "Authenticated", "Link"};
  /// Properties that every telegram invalidates.
  static constexpr std::array per_telegram = {"Registers", "Texts", "Readings"};
  static Values read(const Meter& meter);
  static std::string path(const Meter& meter);
  static std::vector<Interface> interfaces(const Meter& meter);
};

/// "org.smartmeterd1.Electricity" or "org.smartmeterd1.Volume", by medium.
const char* value_interface(const Meter& meter) noexcept;
/// The property of the meter's value interface that shows this reading, or null.
const char* value_property(const Meter& meter, std::string_view reading) noexcept;

/// The properties whose values differ from `shown`, which is brought up to date.
template <class View>
std::vector<const char*> take_changes(typename View::Values& shown,
                                      const typename View::Type& object) {
  static_assert(std::tuple_size_v<typename View::Values> == View::names.size());
  std::vector<const char*> changed;
  typename View::Values now = View::read(object);
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    ((std::get<i>(now) != std::get<i>(shown) ? changed.push_back(View::names[i]) : void()), ...);
  }(std::make_index_sequence<View::names.size()>());
  shown = std::move(now);
  return changed;
}

}  // namespace smartmeterd::bus
