// SPDX-License-Identifier: Apache-2.0
// Which Device an event of udev is about.
#include "daemon/devices.hpp"

#include <algorithm>
#include <utility>

namespace smartmeterd {
namespace {

/// The configuration names its node or one of its links.
bool names(const AdapterConfig& config, const io::SerialDevice& serial) {
  return config.device == serial.node || std::ranges::count(serial.links, config.device) > 0;
}

/// What an adapter that nothing configures may be called, the best name first: chips without a
/// serial number of their own share the first one with their like.
std::vector<std::string> names_of(const io::SerialDevice& serial) {
  std::vector<std::string> all = {serial.stable_name()};
  for (const std::string& link : serial.links)
    if (link.find("/smartmeter/by-path/") != link.npos) all.push_back(io::base_name(link));
  return all;
}

/// In the same socket, on the same port of the chip: what was there before is gone.
bool is_in_place_of(const io::SerialDevice& serial, const Adapter& adapter) {
  return std::ranges::any_of(serial.links, [&](const std::string& link) {
    return link.find("/by-path/") != link.npos && std::ranges::count(adapter.links, link) > 0;
  });
}

}  // namespace

void Devices::configure(const Config& config, std::shared_ptr<const meter::dlms::KeyRing> keys) {
  environment_.accept_counter_reset = config.accept_counter_reset;
  keys_ = std::move(keys);
  std::erase_if(devices_, [&](const auto& device) {
    return device->config().is_found ? device->is_lost()
                                     : std::ranges::count(config.adapters, device->config()) == 0;
  });
  for (const auto& device : devices_) device->set_keys(keys_);
  for (const AdapterConfig& adapter : config.adapters) {
    if (std::ranges::any_of(devices_, [&](const auto& one) { return one->config() == adapter; }))
      continue;
    const auto serial = std::ranges::find_if(serials_, [&](const auto& plugged) {
      const Device* device = on(plugged.syspath);
      return names(adapter, plugged) && (!device || device->config().is_found);
    });
    if (serial == serials_.end()) {
      add(adapter, nullptr);
      continue;
    }
    std::erase_if(devices_, [&](const auto& device) { return device->is_on(serial->syspath); });
    add(adapter, &*serial);
  }
  for (const io::SerialDevice& serial : serials_)
    if (!on(serial.syspath)) add_found(serial);
}

void Devices::appeared(const io::SerialDevice& serial) {
  const auto known = std::ranges::find(serials_, serial.syspath, &io::SerialDevice::syspath);
  const bool is_new = known == serials_.end();
  if (is_new)
    serials_.push_back(serial);
  else
    *known = serial;
  if (!keys_) return;  // still starting: configure() comes next
  Device* device = find(serial);
  // What used to be here has gone without a word, or goes by another name now.
  for (const auto& other : devices_) {
    if (other.get() == device || !other->config().is_found) continue;
    if (other->is_on(serial.syspath) || other->config().device == serial.node) other->vanished();
  }
  if (!is_new)
    std::erase_if(devices_, [&](const auto& other) {
      return other.get() != device && other->config().is_found &&
             other->config().device == serial.node;
    });
  if (device)
    device->appeared(serial);
  else
    add_found(serial);
}

void Devices::vanished(const io::SerialDevice& serial) {
  std::erase_if(serials_, [&](const auto& known) { return known.syspath == serial.syspath; });
  if (Device* device = on(serial.syspath)) device->vanished();
}

void Devices::released(const io::SerialDevice& serial) {
  vanished(serial);
  std::erase_if(devices_, [&](const auto& device) {
    return device->config().is_found && device->config().device == serial.node;
  });
}

Device* Devices::on(const std::string& syspath) const {
  const auto found =
      std::ranges::find_if(devices_, [&](const auto& device) { return device->is_on(syspath); });
  return found == devices_.end() ? nullptr : found->get();
}

Device* Devices::named(const std::string& name) const {
  const auto found = std::ranges::find_if(devices_, [&](const auto& device) {
    return device->adapter().name == meter::slug(name);
  });
  return found == devices_.end() ? nullptr : found->get();
}

/// The device that reads this adapter, did so before it was unplugged, or is configured to.
Device* Devices::find(const io::SerialDevice& serial) const {
  // One that reads another adapter is not for this one, unless it has lost that already: events
  // may come in any order.
  const auto is_free = [&](const Device& device) {
    return device.is_on(serial.syspath) || device.is_lost() ||
           is_in_place_of(serial, device.adapter());
  };
  for (const auto& device : devices_)
    if (!device->config().is_found && names(device->config(), serial) &&
        (is_free(*device) || device->config().device == serial.node))
      return device.get();
  const std::vector<std::string> all = names_of(serial);
  // The last name is the most special one: what bears it is not another one of its like.
  for (auto name = all.rbegin(); name != all.rend(); ++name)
    if (Device* device = named(*name);
        device && device->config().is_found && is_free(*device))
      return device;
  return nullptr;
}

void Devices::add(const AdapterConfig& config, const io::SerialDevice* serial) {
  devices_.push_back(std::make_unique<Device>(
      environment_, config, serial ? std::optional(*serial) : std::nullopt, keys_));
}

void Devices::add_found(const io::SerialDevice& serial) {
  AdapterConfig config;
  config.is_found = true;
  config.device = serial.node;
  std::vector<std::string> all = names_of(serial);
  all.push_back(io::base_name(serial.node));
  const auto free = std::ranges::find_if(all, [&](const auto& name) { return !named(name); });
  config.name = free == all.end() ? serial.node : *free;
  add(config, &serial);
}

}  // namespace smartmeterd
