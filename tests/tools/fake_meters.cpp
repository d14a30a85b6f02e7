// SPDX-License-Identifier: Apache-2.0
// A service with an adapter, a meter and a broker of dbus/org.smartmeterd1.xml whose every text
// would do something to a terminal: fake_meters ADDRESS
#include <systemd/sd-bus.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/tools/fake_service.hpp"

namespace {

/// Sets the title, clears the screen, in 8 bits as well, begins the line anew, turns the direction.
constexpr const char* hostile = "\033]0;owned\a\033[2J\u009b2J\rX\nY\u202e";

int texts(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply, void*,
          sd_bus_error*) {
  // What is looked up, and not only shown.
  if (std::strcmp(property, "Device") == 0) return sd_bus_message_append(reply, "s", "/dev/nix");
  if (std::strcmp(property, "Medium") == 0) return sd_bus_message_append(reply, "s", "electricity");
  return sd_bus_message_append(reply, "s", hostile);
}
int links(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
          sd_bus_error*) {
  return sd_bus_message_append(reply, "as", 1, hostile);
}
int adapter_path(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply,
                 void*, sd_bus_error*) {
  const bool is_adapter = std::strcmp(property, "Adapter") == 0;
  return sd_bus_message_append(reply, "o", is_adapter ? "/org/smartmeterd1/adapter/a" : "/");
}
int count(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
          sd_bus_error*) {
  return sd_bus_message_append(reply, "t", std::uint64_t{7});
}
int flag(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
         sd_bus_error*) {
  return sd_bus_message_append(reply, "b", 1);
}
int errors(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
           sd_bus_error*) {
  return sd_bus_message_append(reply, "a{st}", 1, hostile, std::uint64_t{7});
}
/// No times at all.
int latencies(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
              sd_bus_error*) {
  return sd_bus_message_append(reply, "a{s(tdddd)}", 1, hostile, std::uint64_t{7}, -INFINITY, 0.5,
                               NAN, 1e300);
}
int readings(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
             sd_bus_error*) {
  return sd_bus_message_append(reply, "a{sv}", 3, "power_import", "d", 1234.0, hostile, "d", 5.0,
                               "text_message", "s", hostile);
}
int probe(sd_bus_message* call, void*, sd_bus_error* error) {
  sd_bus_emit_signal(sd_bus_message_get_bus(call), "/org/smartmeterd1/adapter/a",
                     "org.smartmeterd1.Adapter", "ProbeProgress", "a{sv}", 2, "line-settings", "s",
                     hostile, "message", "s", hostile);
  return sd_bus_error_set(error, "org.smartmeterd1.Error.Timeout", hostile);
}

constexpr std::uint64_t changes = SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE;

const sd_bus_vtable adapter[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Device", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Links", "as", links, 0, changes),
    SD_BUS_PROPERTY("Kind", "s", texts, 0, changes),
    SD_BUS_PROPERTY("State", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Problem", "s", texts, 0, changes),
    SD_BUS_PROPERTY("LineSettings", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Protocol", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Errors", "a{st}", errors, 0, 0),
    SD_BUS_PROPERTY("Latencies", "a{s(tdddd)}", latencies, 0, 0),
    SD_BUS_PROPERTY("BytesReceived", "t", count, 0, 0),
    SD_BUS_PROPERTY("TelegramsReceived", "t", count, 0, 0),
    SD_BUS_PROPERTY("LastActivity", "t", count, 0, 0),
    SD_BUS_METHOD("Probe", "a{sv}", "a{sv}", probe, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("ProbeProgress", "a{sv}", 0),
    SD_BUS_VTABLE_END,
};
const sd_bus_vtable meter[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Id", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Name", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Medium", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Manufacturer", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Model", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Adapter", "o", adapter_path, 0, changes),
    SD_BUS_PROPERTY("Parent", "o", adapter_path, 0, changes),
    SD_BUS_PROPERTY("KeyState", "s", texts, 0, changes),
    SD_BUS_PROPERTY("MeterTime", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Authenticated", "s", texts, 0, changes),
    SD_BUS_PROPERTY("Encrypted", "b", flag, 0, changes),
    SD_BUS_PROPERTY("LastUpdate", "t", count, 0, changes),
    SD_BUS_PROPERTY("Readings", "a{sv}", readings, 0, changes),
    SD_BUS_VTABLE_END,
};
const sd_bus_vtable broker[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Broker", "s", texts, 0, changes),
    SD_BUS_PROPERTY("State", "s", texts, 0, changes),
    SD_BUS_PROPERTY("LastError", "s", texts, 0, changes),
    SD_BUS_VTABLE_END,
};

int add(sd_bus* bus) {
  const auto object = [bus](const char* path, const char* interface, const sd_bus_vtable* members) {
    return sd_bus_add_object_vtable(bus, nullptr, path, interface, members, nullptr);
  };
  int result = sd_bus_add_object_manager(bus, nullptr, "/org/smartmeterd1");
  if (result >= 0)
    result = object("/org/smartmeterd1/adapter/a", "org.smartmeterd1.Adapter", adapter);
  if (result >= 0) result = object("/org/smartmeterd1/meter/m", "org.smartmeterd1.Meter", meter);
  if (result >= 0)
    result = object("/org/smartmeterd1/broker/b", "org.smartmeterd1.Publisher", broker);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  return argc == 2 ? serve(argv[1], "org.smartmeterd1", add) : 2;
}
