// SPDX-License-Identifier: Apache-2.0
// What systemd says on the bus of smartmeterd.service (org.freedesktop.systemd1(5)), as it is told:
// fake_systemd ADDRESS LOAD_STATE ACTIVE_STATE
#include <systemd/sd-bus.h>

#include <cstddef>

#include "tests/tools/fake_service.hpp"

namespace {

const char* load_state = "";
const char* active_state = "";

int state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* text,
          sd_bus_error*) {
  return sd_bus_message_append(reply, "s", *static_cast<const char**>(text));
}

const sd_bus_vtable members[] = {
    SD_BUS_VTABLE_START(SD_BUS_VTABLE_ABSOLUTE_OFFSET),
    SD_BUS_PROPERTY("LoadState", "s", state, reinterpret_cast<size_t>(&load_state), 0),
    SD_BUS_PROPERTY("ActiveState", "s", state, reinterpret_cast<size_t>(&active_state), 0),
    SD_BUS_VTABLE_END,
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  load_state = argv[2];
  active_state = argv[3];
  return serve(argv[1], "org.freedesktop.systemd1", [](sd_bus* bus) {
    return sd_bus_add_object_vtable(bus, nullptr,
                                    "/org/freedesktop/systemd1/unit/smartmeterd_2eservice",
                                    "org.freedesktop.systemd1.Unit", members, nullptr);
  });
}
