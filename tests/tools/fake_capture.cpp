// SPDX-License-Identifier: Apache-2.0
// A service that answers Adapter.OpenCapture of dbus/org.smartmeterd1.xml with what is in a file,
// without any adapter: fake_capture ADDRESS FILE
#include <fcntl.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "tests/tools/fake_service.hpp"

namespace {

const char* file = nullptr;

int text(sd_bus*, const char*, const char*, const char* name, sd_bus_message* reply, void*,
         sd_bus_error*) {
  return sd_bus_message_append(reply, "s", *name == 'D' ? "/dev/ttyUSB7" : "none");
}
int links(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
          sd_bus_error*) {
  return sd_bus_message_append(reply, "as", 1, "/dev/smartmeter_ir");
}
int telegrams(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
              sd_bus_error*) {
  return sd_bus_message_append(reply, "t", std::uint64_t{0});
}

int open_capture(sd_bus_message* call, void*, sd_bus_error*) {
  const int fd = ::open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int result = sd_bus_reply_method_return(call, "h", fd);
  ::close(fd);
  return result;
}

const sd_bus_vtable members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Device", "s", text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Links", "as", links, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Problem", "s", text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("TelegramsReceived", "t", telegrams, 0, 0),
    SD_BUS_METHOD("OpenCapture", "a{sv}", "h", open_capture, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  file = argv[2];
  return serve(argv[1], "org.smartmeterd1", [](sd_bus* bus) {
    const int added = sd_bus_add_object_manager(bus, nullptr, "/org/smartmeterd1");
    return added < 0 ? added
                     : sd_bus_add_object_vtable(bus, nullptr, "/org/smartmeterd1/adapter/usb_2dir",
                                                "org.smartmeterd1.Adapter", members, nullptr);
  });
}
