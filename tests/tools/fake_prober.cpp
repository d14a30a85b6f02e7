// SPDX-License-Identifier: Apache-2.0
// A service that answers Adapter.Probe of dbus/org.smartmeterd1.xml as it is told, without any
// adapter: fake_prober ADDRESS ERROR|found
#include <systemd/sd-bus.h>

#include <cstdint>
#include <cstring>

#include "tests/tools/fake_service.hpp"

namespace {

constexpr const char* path = "/org/smartmeterd1/adapter/usb_2dir";
constexpr const char* interface = "org.smartmeterd1.Adapter";
const char* answer = "found";

int device(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
           sd_bus_error*) {
  return sd_bus_message_append(reply, "s", "/dev/ttyUSB7");
}
int problem(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
            sd_bus_error*) {
  return sd_bus_message_append(reply, "s", "none");
}
int links(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
          sd_bus_error*) {
  return sd_bus_message_append(reply, "as", 1, "/dev/smartmeter_ir");
}

int probe(sd_bus_message* call, void*, sd_bus_error* error) {
  sd_bus* bus = sd_bus_message_get_bus(call);
  const char* key = nullptr;
  std::uint32_t timeout_ms = 0;
  if (sd_bus_message_read(call, "a{sv}", 1, &key, "u", &timeout_ms) < 0 ||
      std::strcmp(key, "timeout-ms") != 0)
    return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "expected timeout-ms");
  const auto progress = [&](const char* line, std::uint64_t bytes, std::uint64_t frames) {
    sd_bus_emit_signal(bus, path, interface, "ProbeProgress", "a{sv}", 6, "line-settings", "s",
                       line, "bytes", "t", bytes, "frames", "t", frames, "frame-starts", "t",
                       frames + 1, "errors", "t", std::uint64_t{3}, "message", "s", "trying");
  };
  progress("2400-8E1", 12, 0);
  progress("9600-8N1", 400, 1);
  if (std::strcmp(answer, "found") != 0)
    return sd_bus_error_setf(error, answer, "refused within %u ms", timeout_ms);
  return sd_bus_reply_method_return(call, "a{sv}", 3, "line-settings", "s", "9600-8N1", "protocol",
                                    "s", "sml", "meter", "o", "/");
}

const sd_bus_vtable members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Device", "s", device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Links", "as", links, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Problem", "s", problem, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_METHOD("Probe", "a{sv}", "a{sv}", probe, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("ProbeProgress", "a{sv}", 0),
    SD_BUS_VTABLE_END,
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  answer = argv[2];
  return serve(argv[1], "org.smartmeterd1", [](sd_bus* bus) {
    const int added = sd_bus_add_object_manager(bus, nullptr, "/org/smartmeterd1");
    return added < 0 ? added
                     : sd_bus_add_object_vtable(bus, nullptr, path, interface, members, nullptr);
  });
}
