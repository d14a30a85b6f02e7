// SPDX-License-Identifier: Apache-2.0
// What the services that tests put on a bus have in common.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <cstdio>

/// Connects to the bus at `address`, has `add(bus)` put objects on it (negative: it failed), takes
/// the name, prints "ready" and answers until the bus goes. The exit status.
template <class Add>
int serve(const char* address, const char* name, Add add) {
  sd_bus* bus = nullptr;
  if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 ||
      sd_bus_set_bus_client(bus, 1) < 0 || sd_bus_start(bus) < 0 || add(bus) < 0 ||
      sd_bus_request_name(bus, name, 0) < 0)
    return 1;
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    const int more = sd_bus_process(bus, nullptr);
    if (more < 0) return 0;
    if (more == 0) sd_bus_wait(bus, UINT64_MAX);
  }
}
