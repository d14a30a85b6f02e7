// SPDX-License-Identifier: Apache-2.0
// BusSink: the model's objects on the bus, and the signals of each telegram.
#include "daemon/bus/bus_sink.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "daemon/bus/connection.hpp"
#include "daemon/bus/interfaces.hpp"
#include "daemon/bus/methods.hpp"
#include "daemon/log.hpp"

namespace smartmeterd::bus {
namespace {

/// A bus that takes nothing any more must not make us grow: beyond this many messages in our own
/// queue a telegram is not signalled.
constexpr std::uint64_t queued_messages_max = 1000;
/// From then on nothing is signalled until so few are left.
constexpr std::uint64_t queued_messages_low = 100;
/// Telegrams whose signals wait for the bus's socket, and will be measured.
constexpr std::size_t unwritten_max = 64;

/// An object of the model while it is known, and its vtables while there is a bus.
template <class View>
struct Entry {
  std::string path;
  Served<typename View::Type> served;
  std::vector<Slot> slots;
  typename View::Values shown;  ///< as last signalled
};
template <class View>
using Entries = std::map<const typename View::Type*, Entry<View>>;

/// Names that a change signal still has to carry, each once.
struct PendingNames {
  std::vector<const char*> names;
  void add(const char* name) {
    const auto same = [&](const char* other) { return std::strcmp(other, name) == 0; };
    if (std::ranges::none_of(names, same)) names.push_back(name);
  }
};
struct PendingChanges {
  PendingNames meter;
  PendingNames values;
};

class BusSink final : public Sink, private Connection::Owner {
 public:
  BusSink(io::Loop& loop, BusOptions options)
      : options_(std::move(options)),
        service_{.options = options_,
                 .find_meter = [this](std::string_view id) { return find_meter(id); },
                 .history = HistoryReplies(loop)},
        connection_(loop, options_.address, *this) {
    unwritten_.reserve(unwritten_max);
    connection_.start();
  }

  void adapter_added(const Adapter& adapter) override { add(adapters_, adapter); }
  void adapter_changed(const Adapter& adapter) override { change(adapters_, adapter); }
  void adapter_removed(const Adapter& adapter) override {
    std::erase_if(unwritten_, [&](const auto& one) { return one.first == adapter.latencies; });
    remove(adapters_, adapter);
  }
  void meter_added(const Meter& meter) override { add(meters_, meter); }
  void meter_changed(const Meter& meter) override { change(meters_, meter); }
  void meter_removed(const Meter& meter) override {
    pending_.erase(&meter);
    remove(meters_, meter);
  }
  void publisher_added(const Publisher& publisher) override { add(publishers_, publisher); }
  void publisher_changed(const Publisher& publisher) override { change(publishers_, publisher); }
  void publisher_removed(const Publisher& publisher) override { remove(publishers_, publisher); }
  void telegram(const Telegram& telegram) override;
  void telegram_rejected(const Adapter& adapter, meter::Fault fault, std::uint64_t count) override;
  void probe_progress(const Adapter& adapter, const ProbeProgress& progress) override;

 private:
  void bus_opened(sd_bus& bus) override;
  void bus_closed() override;
  void bus_written() override;

  template <class View>
  void serve(sd_bus& bus, const typename View::Type& object, Entry<View>& entry);
  template <class View>
  void add(Entries<View>& entries, const typename View::Type& object);
  template <class View>
  void change(Entries<View>& entries, const typename View::Type& object);
  template <class View>
  void remove(Entries<View>& entries, const typename View::Type& object);
  void emit_changes(const std::string& path, const char* interface, std::vector<const char*> names);
  void emit_reading(const std::string& path, const Telegram& telegram);
  void measure(const Telegram& telegram);
  template <class Write>
  void emit_of_adapter(const Adapter& adapter, const char* member, Write write);
  bool congested();
  std::string find_meter(std::string_view id) const;

  BusOptions options_;
  Service service_;
  // The slots below hold on to the bus: they go before the connection.
  Connection connection_;
  std::vector<Slot> root_slots_;
  Entries<AdapterView> adapters_;
  Entries<MeterView> meters_;
  Entries<PublisherView> publishers_;
  std::map<const Meter*, PendingChanges> pending_;
  bool congested_ = false;
  std::uint64_t told_skipped_ = 0;  ///< readings that were not signalled, as the journal has it
  std::vector<std::pair<Latencies*, io::TimePoint>> unwritten_;  ///< last bytes; never grows
};

void BusSink::bus_opened(sd_bus& bus) {
  sd_bus_slot* slot = nullptr;
  sd_bus_add_object_manager(&bus, &slot, root_path);
  root_slots_.emplace_back(slot);
  slot = nullptr;
  sd_bus_add_object_vtable(&bus, &slot, root_path, manager_interface, manager_vtable(), &service_);
  root_slots_.emplace_back(slot);
  for (auto& [publisher, entry] : publishers_) serve(bus, *publisher, entry);
  for (auto& [adapter, entry] : adapters_) serve(bus, *adapter, entry);
  for (auto& [meter, entry] : meters_) serve(bus, *meter, entry);
}

void BusSink::bus_closed() {
  for (auto& [publisher, entry] : publishers_) entry.slots.clear();
  for (auto& [adapter, entry] : adapters_) entry.slots.clear();
  for (auto& [meter, entry] : meters_) entry.slots.clear();
  root_slots_.clear();
  unwritten_.clear();
}

void BusSink::bus_written() {
  if (unwritten_.empty()) return;
  const io::TimePoint now = io::Clock::now();
  for (const auto& [latencies, last_byte] : unwritten_) latencies->signalled.add(now - last_byte);
  unwritten_.clear();
}

/// sd-bus writes a message at once unless others wait already, or it does not fit any more.
void BusSink::measure(const Telegram& telegram) {
  const Adapter* adapter = telegram.meter.adapter;
  if (!telegram.last_byte || !adapter || !adapter->latencies) return;
  if (unwritten_.size() < unwritten_max)
    unwritten_.emplace_back(adapter->latencies, *telegram.last_byte);
  if (connection_.queued() == 0) bus_written();
}

template <class View>
void BusSink::serve(sd_bus& bus, const typename View::Type& object, Entry<View>& entry) {
  for (const Interface& interface : View::interfaces(object)) {
    sd_bus_slot* slot = nullptr;
    const int r = sd_bus_add_object_vtable(&bus, &slot, entry.path.c_str(), interface.name,
                                           interface.vtable, &entry.served);
    if (r < 0) {
      log::error("cannot serve {} at {}: {}", interface.name, entry.path, std::strerror(-r));
    } else {
      entry.slots.emplace_back(slot);
    }
  }
}

template <class View>
void BusSink::add(Entries<View>& entries, const typename View::Type& object) {
  Entry<View>& entry = entries[&object];
  entry.path = View::path(object);
  entry.served = {&object, &service_};
  entry.shown = View::read(object);
  if (!connection_.bus()) return;
  serve(*connection_.bus(), object, entry);
  if (connection_.serving()) sd_bus_emit_object_added(connection_.bus(), entry.path.c_str());
}

template <class View>
void BusSink::change(Entries<View>& entries, const typename View::Type& object) {
  const auto found = entries.find(&object);
  if (found == entries.end()) return;
  emit_changes(found->second.path, View::interface,
               take_changes<View>(found->second.shown, object));
}

template <class View>
void BusSink::remove(Entries<View>& entries, const typename View::Type& object) {
  const auto found = entries.find(&object);
  if (found == entries.end()) return;
  // Before the vtables go: the signal names their interfaces.
  if (connection_.serving())
    sd_bus_emit_object_removed(connection_.bus(), found->second.path.c_str());
  entries.erase(found);
}

void BusSink::telegram(const Telegram& telegram) {
  const auto found = meters_.find(&telegram.meter);
  if (found == meters_.end()) return;
  Entry<MeterView>& entry = found->second;
  const bool signals = connection_.serving() && !congested();
  if (signals) emit_reading(entry.path, telegram);  // first: it is what listeners wait for
  PendingChanges& pending = pending_[&telegram.meter];
  for (const std::string_view reading : telegram.changed)
    if (const char* property = value_property(telegram.meter, reading))
      pending.values.add(property);
  for (const char* name : take_changes<MeterView>(entry.shown, telegram.meter))
    pending.meter.add(name);
  for (const char* name : MeterView::per_telegram) pending.meter.add(name);
  if (!signals) {
    if (connection_.serving()) ++service_.skipped_readings;
    return;
  }
  emit_changes(entry.path, value_interface(telegram.meter), std::move(pending.values.names));
  emit_changes(entry.path, meter_interface, std::move(pending.meter.names));
  pending = {};
}

bool BusSink::congested() {
  const bool full = connection_.queued() > (congested_ ? queued_messages_low : queued_messages_max);
  if (full && !congested_)
    log::warning("the message bus takes no messages: readings are not signalled");
  if (!full && congested_)
    log::notice("the message bus takes messages again: {} readings were not signalled",
                service_.skipped_readings -
                    std::exchange(told_skipped_, service_.skipped_readings));
  congested_ = full;
  return full;
}

void BusSink::emit_reading(const std::string& path, const Telegram& telegram) {
  sd_bus_message* created = nullptr;
  if (sd_bus_message_new_signal(connection_.bus(), &created, path.c_str(), meter_interface,
                                "Reading") < 0)
    return;
  const Message signal(created);
  Writer writer(created);
  writer.put(static_cast<std::uint64_t>(telegram.meter.last_update_us));
  writer.put(telegram.meter.sequence).open('a', "{sv}");
  std::array<char, meter::DateTime::text_size_max> buffer;
  for (const meter::NamedReading& reading : telegram.named) {
    if (reading.is_text || reading.is_time) {
      writer.entry(reading.name, "s", text_of(reading, buffer));
    } else {
      writer.entry(reading.name, "d", reading.value.to_double());
    }
  }
  if (writer.close().error() == 0 && sd_bus_send(connection_.bus(), created, nullptr) >= 0)
    measure(telegram);
}

template <class Write>
void BusSink::emit_of_adapter(const Adapter& adapter, const char* member, Write write) {
  const auto found = adapters_.find(&adapter);
  if (found == adapters_.end() || !connection_.serving()) return;
  sd_bus_message* created = nullptr;
  if (sd_bus_message_new_signal(connection_.bus(), &created, found->second.path.c_str(),
                                adapter_interface, member) < 0)
    return;
  const Message signal(created);
  Writer writer(created);
  write(writer);
  if (writer.error() == 0) sd_bus_send(connection_.bus(), created, nullptr);
}

void BusSink::telegram_rejected(const Adapter& adapter, meter::Fault fault, std::uint64_t count) {
  emit_of_adapter(adapter, "TelegramRejected", [&](Writer& writer) {
    writer.put(meter::name(fault.code)).open('a', "{sv}");
    writer.entry("message", "s", meter::describe(fault.code));
    writer.entry("offset", "u", fault.offset).entry("count", "t", count).close();
  });
}

void BusSink::probe_progress(const Adapter& adapter, const ProbeProgress& progress) {
  emit_of_adapter(adapter, "ProbeProgress", [&](Writer& writer) {
    writer.open('a', "{sv}");
    writer.entry("line-settings", "s", std::string_view(progress.line));
    writer.entry("bytes", "t", progress.bytes).entry("frames", "t", progress.frames);
    writer.entry("frame-starts", "t", progress.frame_starts).entry("errors", "t", progress.errors);
    writer.entry("message", "s", progress.message).close();
  });
}

void BusSink::emit_changes(const std::string& path, const char* interface,
                           std::vector<const char*> names) {
  if (names.empty() || !connection_.serving()) return;
  names.push_back(nullptr);
  const int r = sd_bus_emit_properties_changed_strv(connection_.bus(), path.c_str(), interface,
                                                    const_cast<char**>(names.data()));
  // A connection that has just gone is reported by sd_bus_process.
  if (r < 0)
    log::debug("cannot signal changes of {} at {}: {}", interface, path, std::strerror(-r));
}

std::string BusSink::find_meter(std::string_view id) const {
  for (const auto& [meter, entry] : meters_)
    if (meter->id == id) return entry.path;
  return {};
}

}  // namespace

std::unique_ptr<Sink> make_bus_sink(io::Loop& loop, BusOptions options) {
  return std::make_unique<BusSink>(loop, std::move(options));
}

}  // namespace smartmeterd::bus
