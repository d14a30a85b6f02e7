// SPDX-License-Identifier: Apache-2.0
// Interfaces: vtables whose getters read the model. Kept equal to dbus/org.smartmeterd1.xml by
// test.
#include "daemon/bus/interfaces.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <new>

#include "daemon/bus/methods.hpp"
#include "meter/quantity.hpp"
#include "meter/unit.hpp"

namespace smartmeterd::bus {
namespace {

constexpr const char* electricity_interface = "org.smartmeterd1.Electricity";
constexpr const char* volume_interface = "org.smartmeterd1.Volume";

// Getters

template <class R, class T>
T type_of(R T::*);
template <class R, class T>
T type_of(R (*)(const T&));
template <class T>
T type_of(void (*)(Writer&, const T&));

/// Writes a member of the object, or what a function of the object returns or writes.
template <auto Source>
int get(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* userdata,
        sd_bus_error*) noexcept {
  using T = decltype(type_of(Source));
  const T& source = object_of<T>(userdata);
  Writer writer(reply);
  if constexpr (std::is_invocable_v<decltype(Source), Writer&, const T&>) {
    Source(writer, source);
  } else {
    writer.put(std::invoke(Source, source));
  }
  return writer.error();
}

// Manager

std::string manager_version(const Service& service) {
  return service.options.version;
}
std::vector<std::string> manager_features(const Service& service) {
  return service.options.features;
}

std::map<std::string, std::uint64_t, std::less<>> manager_counters(const Service& service) {
  std::map<std::string, std::uint64_t, std::less<>> counters;
  if (service.options.counters) counters = service.options.counters();
  counters["readings-not-signalled"] = service.skipped_readings;
  return counters;
}

constexpr auto is_const = SD_BUS_VTABLE_PROPERTY_CONST;
constexpr auto emits = SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE;
constexpr auto invalidates = SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION;
// The policy file is the only gate: sd-bus's own check would demand CAP_SYS_ADMIN of the group.
constexpr auto open_to_policy = SD_BUS_VTABLE_UNPRIVILEGED;

const sd_bus_vtable manager_members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Version", "s", get<manager_version>, 0, is_const),
    SD_BUS_PROPERTY("Features", "as", get<manager_features>, 0, is_const),
    SD_BUS_PROPERTY("Counters", "a{st}", get<manager_counters>, 0, 0),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, reload, open_to_policy),
    SD_BUS_METHOD_WITH_ARGS("GetMeter", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", meter), get_meter,
                            open_to_policy),
    SD_BUS_VTABLE_END,
};

// Publisher

void put_latency(Writer& writer, const LatencySummary& latency) {
  writer.open('r', "tdddd").put(latency.count).put(latency.min_s).put(latency.median_s);
  writer.put(latency.p99_s).put(latency.max_s).close();
}

void publisher_latency(Writer& writer, const Publisher& publisher) {
  put_latency(writer, publisher.latency.summary());
}
std::string_view publisher_state(const Publisher& publisher) {
  return name(publisher.state);
}

const sd_bus_vtable publisher_members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Role", "s", get<&Publisher::role>, 0, emits),
    SD_BUS_PROPERTY("State", "s", get<publisher_state>, 0, emits),
    SD_BUS_PROPERTY("Broker", "s", get<&Publisher::broker>, 0, emits),
    SD_BUS_PROPERTY("LastError", "s", get<&Publisher::last_error>, 0, emits),
    SD_BUS_PROPERTY("Queued", "t", get<&Publisher::queued>, 0, 0),
    SD_BUS_PROPERTY("Dropped", "t", get<&Publisher::dropped>, 0, 0),
    SD_BUS_PROPERTY("Published", "t", get<&Publisher::published>, 0, 0),
    SD_BUS_PROPERTY("Latency", "(tdddd)", get<publisher_latency>, 0, 0),
    SD_BUS_VTABLE_END,
};

// Adapter

std::string_view adapter_state(const Adapter& adapter) {
  return name(adapter.state);
}
std::string_view adapter_problem(const Adapter& adapter) {
  return name(adapter.problem);
}
std::string_view adapter_line_source(const Adapter& adapter) {
  return name(adapter.line_source);
}
void adapter_latencies(Writer& writer, const Adapter& adapter) {
  const auto put = [&](std::string_view stage, const LatencyHistogram& latency) {
    writer.open('e', "s(tdddd)").put(stage);
    put_latency(writer, latency.summary());
    writer.close();
  };
  writer.open('a', "{s(tdddd)}");
  if (adapter.latencies) {
    put("decoded", adapter.latencies->decoded);
    put("signalled", adapter.latencies->signalled);
  }
  writer.close();
}
std::uint64_t last_activity(const Adapter& adapter) {
  return epoch_us(adapter.last_activity_us);
}

const sd_bus_vtable adapter_members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Name", "s", get<&Adapter::table>, 0, is_const),
    SD_BUS_PROPERTY("Device", "s", get<&Adapter::device>, 0, emits),
    SD_BUS_PROPERTY("Links", "as", get<&Adapter::links>, 0, emits),
    SD_BUS_PROPERTY("Kind", "s", get<&Adapter::kind>, 0, emits),
    SD_BUS_PROPERTY("UsbId", "s", get<&Adapter::usb_id>, 0, emits),
    SD_BUS_PROPERTY("Serial", "s", get<&Adapter::usb_serial>, 0, emits),
    SD_BUS_PROPERTY("State", "s", get<adapter_state>, 0, emits),
    SD_BUS_PROPERTY("Problem", "s", get<adapter_problem>, 0, emits),
    SD_BUS_PROPERTY("LineSettings", "s", get<&Adapter::line>, 0, emits),
    SD_BUS_PROPERTY("LineSource", "s", get<adapter_line_source>, 0, emits),
    SD_BUS_PROPERTY("Protocol", "s", get<&Adapter::protocol>, 0, emits),
    SD_BUS_PROPERTY("BytesReceived", "t", get<&Adapter::bytes_received>, 0, 0),
    SD_BUS_PROPERTY("TelegramsReceived", "t", get<&Adapter::telegrams_received>, 0, 0),
    SD_BUS_PROPERTY("Errors", "a{st}", get<&Adapter::errors>, 0, 0),
    SD_BUS_PROPERTY("Latencies", "a{s(tdddd)}", get<adapter_latencies>, 0, 0),
    SD_BUS_PROPERTY("LastActivity", "t", get<last_activity>, 0, 0),
    SD_BUS_METHOD_WITH_ARGS("Probe", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", result),
                            probe, open_to_policy),
    SD_BUS_METHOD_WITH_ARGS("OpenCapture", SD_BUS_ARGS("a{sv}", options),
                            SD_BUS_RESULT("h", stream), open_capture, open_to_policy),
    SD_BUS_SIGNAL_WITH_ARGS("ProbeProgress", SD_BUS_ARGS("a{sv}", details), 0),
    SD_BUS_SIGNAL_WITH_ARGS("TelegramRejected", SD_BUS_ARGS("s", reason, "a{sv}", details), 0),
    SD_BUS_VTABLE_END,
};

// Meter

ObjectPath meter_adapter(const Meter& meter) {
  return {meter.adapter ? object_path("adapter", meter.adapter->name) : "/"};
}
ObjectPath meter_parent(const Meter& meter) {
  return {meter.parent_id.empty() ? "/" : object_path("meter", meter.parent_id)};
}
std::string_view meter_key_state(const Meter& meter) {
  return name(meter.key_state);
}
std::string_view meter_link(const Meter& meter) {
  return name(meter.link);
}
std::uint64_t last_update(const Meter& meter) {
  return epoch_us(meter.last_update_us);
}

std::string_view authenticated(const Meter& meter) {
  switch (meter.authentication) {
    case meter::Authentication::verified:
      return "yes";
    case meter::Authentication::unverified:
      return "no";
    case meter::Authentication::clear:
      return "not-encrypted";
  }
  return "";
}

/// Its code, or what the source calls it.
std::string_view register_key(const Meter::Register& entry, std::span<char> buffer) {
  return entry.label.empty() ? entry.obis.to_text(buffer) : std::string_view(entry.label);
}

void write_registers(Writer& writer, const Meter& meter) {
  char obis[meter::Obis::text_size_max];
  writer.open('a', "{s(xns)}");
  for (const Meter::Register& entry : meter.registers) {
    if (entry.is_text) continue;
    writer.open('e', "s(xns)").put(register_key(entry, obis)).open('r', "xns");
    writer.put(entry.value.mantissa).put(std::int16_t{entry.value.exponent});
    writer.put(meter::symbol(entry.unit)).close().close();
  }
  writer.close();
}

void write_texts(Writer& writer, const Meter& meter) {
  char obis[meter::Obis::text_size_max];
  writer.open('a', "{ss}");
  for (const Meter::Register& entry : meter.registers)
    if (entry.is_text)
      writer.open('e', "ss")
          .put(register_key(entry, obis))
          .put(std::string_view(entry.text))
          .close();
  writer.close();
}

void write_readings(Writer& writer, const Meter& meter) {
  writer.open('a', "{sv}");
  for (const LatestValue& value : meter.values) {
    if (value.is_text) {
      writer.entry(value.name, "s", std::string_view(value.text));
    } else {
      writer.entry(value.name, "d", value.value.to_double());
    }
  }
  writer.close();
}

const sd_bus_vtable meter_members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Id", "s", get<&Meter::id>, 0, is_const),
    SD_BUS_PROPERTY("Name", "s", get<&Meter::display_name>, 0, emits),
    SD_BUS_PROPERTY("Medium", "s", get<&Meter::medium>, 0, is_const),
    SD_BUS_PROPERTY("Manufacturer", "s", get<&Meter::manufacturer>, 0, emits),
    SD_BUS_PROPERTY("Model", "s", get<&Meter::model>, 0, emits),
    SD_BUS_PROPERTY("Adapter", "o", get<meter_adapter>, 0, emits),
    SD_BUS_PROPERTY("Parent", "o", get<meter_parent>, 0, is_const),
    SD_BUS_PROPERTY("Encrypted", "b", get<&Meter::encrypted>, 0, emits),
    SD_BUS_PROPERTY("KeyState", "s", get<meter_key_state>, 0, emits),
    SD_BUS_PROPERTY("Interval", "d", get<&Meter::interval_s>, 0, emits),
    SD_BUS_PROPERTY("LastUpdate", "t", get<last_update>, 0, emits),
    SD_BUS_PROPERTY("Sequence", "t", get<&Meter::sequence>, 0, 0),
    SD_BUS_PROPERTY("Registers", "a{s(xns)}", get<write_registers>, 0, invalidates),
    SD_BUS_PROPERTY("Texts", "a{ss}", get<write_texts>, 0, invalidates),
    SD_BUS_PROPERTY("Readings", "a{sv}", get<write_readings>, 0, invalidates),
    SD_BUS_PROPERTY("MeterTime", "s", get<&Meter::meter_time>, 0, emits),
    SD_BUS_PROPERTY("Authenticated", "s", get<authenticated>, 0, emits),
    SD_BUS_PROPERTY("Link", "s", get<meter_link>, 0, emits),
    SD_BUS_METHOD_WITH_ARGS("History", SD_BUS_ARGS("t", from, "t", to, "u", step, "a{sv}", options),
                            SD_BUS_RESULT("a(ta{sd})", rows), history, open_to_policy),
    SD_BUS_SIGNAL_WITH_ARGS("Reading", SD_BUS_ARGS("t", time, "t", sequence, "a{sv}", values), 0),
    SD_BUS_VTABLE_END,
};

// Electricity and Volume

/// Which reading a property shows; several of one property are its elements, in order.
struct Shown {
  std::string reading;
  std::string property;
};

/// What the quantity table does not say: the arrays.
constexpr std::pair<const char*, const char*> more_shown[] = {
    {"energy_import_t1", "EnergyImportTariffs"},
    {"energy_import_t2", "EnergyImportTariffs"},
    {"energy_import_t3", "EnergyImportTariffs"},
    {"energy_import_t4", "EnergyImportTariffs"},
    {"energy_export_t1", "EnergyExportTariffs"},
    {"energy_export_t2", "EnergyExportTariffs"},
    {"energy_export_t3", "EnergyExportTariffs"},
    {"energy_export_t4", "EnergyExportTariffs"},
    {"voltage_l1", "Voltage"},
    {"voltage_l2", "Voltage"},
    {"voltage_l3", "Voltage"},
    {"current_l1", "Current"},
    {"current_l2", "Current"},
    {"current_l3", "Current"},
};

const std::vector<Shown>& shown_readings() {
  static const std::vector<Shown> table = [] {
    std::vector<Shown> all;
    for (const auto& [reading, property] : more_shown) all.push_back({reading, property});
    for (const meter::Quantity& quantity : meter::quantities()) {
      if (quantity.dbus_property.empty()) continue;
      if (std::ranges::find(all, quantity.name, &Shown::reading) != all.end()) continue;  // 2 codes
      all.push_back({std::string(quantity.name), std::string(quantity.dbus_property)});
    }
    return all;
  }();
  return table;
}

bool is_volume_property(std::string_view property) noexcept {
  return property == "Volume" || property == "Energy" || property == "CaptureTime";
}

/// The latest value of the only reading that a property shows, or null.
const LatestValue* value_of(const Meter& meter, std::string_view property) noexcept {
  for (const Shown& shown : shown_readings())
    if (shown.property == property) return meter.find(shown.reading);
  return nullptr;
}

constexpr double absent = std::numeric_limits<double>::quiet_NaN();

double to_double(const LatestValue* value) noexcept {
  return value && !value->is_text ? value->value.to_double() : absent;
}

int get_number(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply,
               void* userdata, sd_bus_error*) noexcept {
  return Writer(reply)
      .put(to_double(value_of(object_of<Meter>(userdata), property)))
      .error();
}

/// Every element up to the last that is there; phases are always three, or none.
int get_numbers(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply,
                void* userdata, sd_bus_error*) noexcept {
  const auto& meter = object_of<Meter>(userdata);
  const std::string_view name = property;
  std::vector<double> values;
  std::size_t used = 0;
  for (const Shown& shown : shown_readings()) {
    if (shown.property != name) continue;
    values.push_back(to_double(meter.find(shown.reading)));
    if (values.back() == values.back()) used = values.size();
  }
  const bool phases = name == "Voltage" || name == "Current";
  if (used == 0 || !phases) values.resize(used);
  return Writer(reply).put(values).error();
}

/// A number, or the digits of a text ("0002", DSMR 5.0.2 section 6.12).
std::uint32_t tariff(const Meter& meter) {
  const LatestValue* value = value_of(meter, "Tariff");
  if (!value) return 0;
  std::uint32_t number = 0;
  if (value->is_text) {
    const char* end = value->text.data() + value->text.size();
    const auto parsed = std::from_chars(value->text.data(), end, number);
    return parsed.ec == std::errc() && parsed.ptr == end ? number : 0;
  }
  const double exact = value->value.to_double();
  return exact >= 0 && exact <= std::numeric_limits<std::uint32_t>::max()
             ? static_cast<std::uint32_t>(exact)
             : 0;
}

/// ISO 8601 with an offset or Z; without one no instant is known.
std::uint64_t capture_time(const Meter& meter) {
  const LatestValue* value = value_of(meter, "CaptureTime");
  if (!value || !value->is_text) return 0;
  std::tm t{};
  const char* rest = strptime(value->text.c_str(), "%Y-%m-%dT%H:%M:%S%z", &t);
  if (!rest || *rest != '\0') return 0;
  const long offset_s = t.tm_gmtoff;
  return epoch_us((timegm(&t) - offset_s) * 1'000'000);
}

const sd_bus_vtable electricity_members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("PowerImport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("PowerExport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("ReactivePowerImport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("ReactivePowerExport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("EnergyImport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("EnergyExport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("ReactiveEnergyImport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("ReactiveEnergyExport", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("EnergyImportTariffs", "ad", get_numbers, 0, emits),
    SD_BUS_PROPERTY("EnergyExportTariffs", "ad", get_numbers, 0, emits),
    SD_BUS_PROPERTY("Tariff", "u", get<tariff>, 0, emits),
    SD_BUS_PROPERTY("Voltage", "ad", get_numbers, 0, emits),
    SD_BUS_PROPERTY("Current", "ad", get_numbers, 0, emits),
    SD_BUS_PROPERTY("PowerFactor", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("Frequency", "d", get_number, 0, emits),
    SD_BUS_VTABLE_END,
};

const sd_bus_vtable volume_members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Volume", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("Energy", "d", get_number, 0, emits),
    SD_BUS_PROPERTY("CaptureTime", "t", get<capture_time>, 0, emits),
    SD_BUS_VTABLE_END,
};

bool is_electricity(const Meter& meter) noexcept {
  return meter.medium == "electricity";
}

}  // namespace

std::string object_path(const char* kind, std::string_view name) {
  const std::string prefix = std::string(root_path) + "/" + kind;
  char* encoded = nullptr;
  if (sd_bus_path_encode(prefix.c_str(), std::string(name).c_str(), &encoded) < 0)
    throw std::bad_alloc();
  std::string path = encoded;
  std::free(encoded);
  return path;
}

const sd_bus_vtable* manager_vtable() noexcept {
  return manager_members;
}

PublisherView::Values PublisherView::read(const Publisher& p) {
  return {p.role, std::string(name(p.state)), p.broker, p.last_error};
}
std::string PublisherView::path(const Publisher& publisher) {
  return object_path("broker", publisher.name);
}
std::vector<Interface> PublisherView::interfaces(const Publisher&) {
  return {{publisher_interface, publisher_members}};
}

AdapterView::Values AdapterView::read(const Adapter& a) {
  return {a.device, a.links,   a.kind, a.usb_id,  a.usb_serial,
          a.state,  a.problem, a.line, a.line_source, a.protocol};
}
std::string AdapterView::path(const Adapter& adapter) {
  return object_path("adapter", adapter.name);
}
std::vector<Interface> AdapterView::interfaces(const Adapter&) {
  return {{adapter_interface, adapter_members}};
}

MeterView::Values MeterView::read(const Meter& m) {
  return {m.display_name, m.manufacturer,   m.model,      m.adapter,
          m.encrypted,    m.key_state,      m.interval_s, m.last_update_us,
          m.meter_time,   m.authentication, m.link};
}
std::string MeterView::path(const Meter& meter) {
  return object_path("meter", meter.id);
}
std::vector<Interface> MeterView::interfaces(const Meter& meter) {
  return {{meter_interface, meter_members},
          {value_interface(meter), is_electricity(meter) ? electricity_members : volume_members}};
}

const char* value_interface(const Meter& meter) noexcept {
  return is_electricity(meter) ? electricity_interface : volume_interface;
}

const char* value_property(const Meter& meter, std::string_view reading) noexcept {
  for (const Shown& shown : shown_readings())
    if (shown.reading == reading && is_volume_property(shown.property) != is_electricity(meter))
      return shown.property.c_str();
  return nullptr;
}

}  // namespace smartmeterd::bus
