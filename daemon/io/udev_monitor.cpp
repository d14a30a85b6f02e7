// SPDX-License-Identifier: Apache-2.0
// DeviceMonitor over libudev.
#include <libudev.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "daemon/io/device_monitor.hpp"
#include "daemon/log.hpp"

namespace smartmeterd::io {

namespace {

constexpr const char* subsystem = "tty";

struct Unref {
  void operator()(udev* object) const noexcept { udev_unref(object); }
  void operator()(udev_monitor* object) const noexcept { udev_monitor_unref(object); }
  void operator()(udev_enumerate* object) const noexcept { udev_enumerate_unref(object); }
  void operator()(udev_device* object) const noexcept { udev_device_unref(object); }
};
template <class Object>
using Handle = std::unique_ptr<Object, Unref>;

std::string text(const char* value) {
  return value != nullptr ? value : "";
}

/// Claimed now. TAGS and udev_device_has_tag() remember what the device once had, and with
/// libudev 252 so does udev_device_has_current_tag() for a device that came with an event.
bool is_claimed(udev_device* device) {
  const char* tags = udev_device_get_property_value(device, "CURRENT_TAGS");
  if (tags == nullptr) tags = udev_device_get_property_value(device, "TAGS");  // before udev 247
  return text(tags).find(":smartmeter:") != std::string::npos;
}

SerialDevice describe(udev_device* device) {
  const auto property = [device](const char* name) {
    return text(udev_device_get_property_value(device, name));
  };
  SerialDevice serial;
  serial.syspath = text(udev_device_get_syspath(device));
  serial.node = text(udev_device_get_devnode(device));
  for (auto* link = udev_device_get_devlinks_list_entry(device); link != nullptr;
       link = udev_list_entry_get_next(link))
    serial.links.push_back(text(udev_list_entry_get_name(link)));
  std::ranges::sort(serial.links);  // udev has them in no order
  serial.kind = property("SMARTMETER_KIND");
  if (const auto vendor = property("ID_VENDOR_ID"); !vendor.empty())
    serial.usb_id = vendor + ":" + property("ID_MODEL_ID");
  serial.serial = property("ID_SERIAL_SHORT");
  return serial;
}

}  // namespace

class UdevMonitor final : public DeviceMonitor {
 public:
  UdevMonitor(Loop& loop, Events events, Handle<udev> context, Handle<udev_monitor> monitor)
      : loop_(loop),
        events_(std::move(events)),
        context_(std::move(context)),
        monitor_(std::move(monitor)),
        poll_([this](int result) {
          if (result < 0) return log::error("udev: {}", std::strerror(-result));
          receive();
          arm();
        }) {
    arm();
    enumerate();
  }

 private:
  void arm() { loop_.poll(poll_, udev_monitor_get_fd(monitor_.get()), POLLIN); }

  void receive() {
    bool overrun = false;
    for (;;) {
      errno = 0;
      Handle<udev_device> device(udev_monitor_receive_device(monitor_.get()));
      if (device) {
        take(device.get());
      } else if (errno == ENOBUFS) {
        overrun = true;  // events were lost; what is still queued comes first
      } else {
        break;
      }
    }
    if (!overrun) return;
    log::warning("udev events were lost: looking at all devices again");
    enumerate();
  }

  void take(udev_device* device) {
    const std::string action = text(udev_device_get_action(device));
    const std::string syspath = text(udev_device_get_syspath(device));
    if (action == "remove")
      forget(syspath, events_.removed);
    else if (!is_claimed(device))  // a rule that is withdrawn takes the tag away
      forget(syspath, events_.released);
    else
      put(describe(device));
  }

  /// Everything that is there now, and an end to what is not.
  void enumerate() {
    Handle<udev_enumerate> list(udev_enumerate_new(context_.get()));
    udev_enumerate_add_match_subsystem(list.get(), subsystem);
    udev_enumerate_add_match_tag(list.get(), "smartmeter");
    udev_enumerate_add_match_is_initialized(list.get());
    udev_enumerate_scan_devices(list.get());
    std::set<std::string, std::less<>> present;
    for (auto* entry = udev_enumerate_get_list_entry(list.get()); entry != nullptr;
         entry = udev_list_entry_get_next(entry)) {
      Handle<udev_device> device(
          udev_device_new_from_syspath(context_.get(), udev_list_entry_get_name(entry)));
      if (!device || !is_claimed(device.get())) continue;
      auto serial = describe(device.get());
      present.insert(serial.syspath);
      put(std::move(serial));
    }
    std::vector<std::string> gone;
    for (const auto& [syspath, serial] : known_)
      if (!present.contains(syspath)) gone.push_back(syspath);
    for (const auto& syspath : gone) {
      Handle<udev_device> device(udev_device_new_from_syspath(context_.get(), syspath.c_str()));
      forget(syspath, device ? events_.released : events_.removed);
    }
  }

  void put(SerialDevice serial) {
    const auto [entry, is_new] = known_.try_emplace(serial.syspath);
    entry->second = std::move(serial);
    const auto copy = entry->second;  // the callee may look at a monitor that changes
    const auto& tell = is_new ? events_.added : events_.changed;
    if (tell) tell(copy);
  }

  void forget(const std::string& syspath, const std::function<void(const SerialDevice&)>& tell) {
    auto entry = known_.extract(syspath);
    if (entry && tell) tell(entry.mapped());
  }

  Loop& loop_;
  Events events_;
  Handle<udev> context_;
  Handle<udev_monitor> monitor_;
  std::map<std::string, SerialDevice, std::less<>> known_;  // by syspath
  Operation poll_;
};

std::unique_ptr<DeviceMonitor> DeviceMonitor::start(Loop& loop, Events events, std::string& error) {
  // Without its daemon libudev listens to nobody, and does not say so.
  if (access("/run/udev/control", F_OK) != 0) {
    error = "udev does not run here (no /run/udev/control)";
    return nullptr;
  }
  Handle<udev> context(udev_new());
  // "udev" speaks after the rules have run; "kernel" would be too early for links and groups.
  Handle<udev_monitor> monitor(context ? udev_monitor_new_from_netlink(context.get(), "udev")
                                       : nullptr);
  if (!monitor) {
    error = std::string("no udev monitor: ") + std::strerror(errno);
    return nullptr;
  }
  // The tag is looked at here: few events come from terminals, and one that loses the tag
  // matters too.
  udev_monitor_filter_add_match_subsystem_devtype(monitor.get(), subsystem, nullptr);
  if (const int result = udev_monitor_enable_receiving(monitor.get()); result < 0) {
    error = std::string("udev monitor: ") + std::strerror(-result);
    return nullptr;
  }
  return std::make_unique<UdevMonitor>(loop, std::move(events), std::move(context),
                                       std::move(monitor));
}

}  // namespace smartmeterd::io
