// SPDX-License-Identifier: Apache-2.0
// Bus: what smartmeterd says on D-Bus.
#include "tools/smartmeterctl/bus.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <utility>

#include "tools/smartmeterctl/style.hpp"

namespace smartmeterctl {
namespace {

constexpr const char* service = "org.smartmeterd1";
constexpr const char* root = "/org/smartmeterd1";
constexpr const char* meter_interface = "org.smartmeterd1.Meter";
constexpr const char* adapter_interface = "org.smartmeterd1.Adapter";

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(fmt::format("{}: {}", what, std::strerror(-result)));
}

template <class Wire, class Held>
Value read_basic(sd_bus_message* message, char type) {
  Wire wire{};
  check(sd_bus_message_read_basic(message, type, &wire), "unreadable message");
  return {Held(wire)};
}

Value read_value(sd_bus_message* message);

Value read_array(sd_bus_message* message, const std::string& contents) {
  check(sd_bus_message_enter_container(message, 'a', contents.c_str()), "unreadable array");
  const bool dictionary = contents.starts_with('{');
  Value::Map map;
  Value::List list;
  while (sd_bus_message_at_end(message, 0) == 0) {
    if (!dictionary) {
      list.push_back(read_value(message));
      continue;
    }
    const std::string entry = contents.substr(1, contents.size() - 2);
    check(sd_bus_message_enter_container(message, 'e', entry.c_str()), "unreadable entry");
    const std::string key = read_value(message).text();
    map.insert_or_assign(key, read_value(message));
    check(sd_bus_message_exit_container(message), "unreadable entry");
  }
  check(sd_bus_message_exit_container(message), "unreadable array");
  if (dictionary) return {std::move(map)};
  return {std::move(list)};
}

Value read_structure(sd_bus_message* message, const char* contents) {
  check(sd_bus_message_enter_container(message, 'r', contents), "unreadable structure");
  Value::List list;
  while (sd_bus_message_at_end(message, 0) == 0) list.push_back(read_value(message));
  check(sd_bus_message_exit_container(message), "unreadable structure");
  return {std::move(list)};
}

Value read_value(sd_bus_message* message) {
  char type = 0;
  const char* contents = nullptr;
  check(sd_bus_message_peek_type(message, &type, &contents), "unreadable message");
  switch (type) {
    case 's':
    case 'o':
    case 'g':
      return read_basic<const char*, std::string>(message, type);
    case 'b':
      return read_basic<int, bool>(message, type);
    case 'y':
      return read_basic<std::uint8_t, std::uint64_t>(message, type);
    case 'q':
      return read_basic<std::uint16_t, std::uint64_t>(message, type);
    case 'u':
      return read_basic<std::uint32_t, std::uint64_t>(message, type);
    case 't':
      return read_basic<std::uint64_t, std::uint64_t>(message, type);
    case 'n':
      return read_basic<std::int16_t, std::int64_t>(message, type);
    case 'i':
      return read_basic<std::int32_t, std::int64_t>(message, type);
    case 'x':
      return read_basic<std::int64_t, std::int64_t>(message, type);
    case 'd':
      return read_basic<double, double>(message, type);
    case 'a':
      return read_array(message, contents);
    case 'r':
      return read_structure(message, contents);
    case 'v': {
      check(sd_bus_message_enter_container(message, 'v', contents), "unreadable variant");
      Value value = read_value(message);
      check(sd_bus_message_exit_container(message), "unreadable variant");
      return value;
    }
    default:
      check(sd_bus_message_skip(message, nullptr), "unreadable message");
      return {};
  }
}

/// The answer of GetManagedObjects.
std::vector<Object> objects_of(sd_bus_message* message) {
  const Value tree = read_value(message);
  std::vector<Object> objects;
  for (const auto& [path, interfaces] : tree.map()) objects.push_back({path, interfaces});
  return objects;
}

using namespace std::chrono_literals;

/// Who answers at all does so at once.
constexpr std::chrono::microseconds greeting_limit = 5s, answer_limit = 10s;

/// What opening leaves to the first call, which then waits far longer: the result of sd-bus.
int wait_for_greeting(sd_bus* bus, std::chrono::microseconds limit) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + limit;
  while (sd_bus_is_ready(bus) == 0) {
    const int more = sd_bus_process(bus, nullptr);
    if (more < 0) return more;
    if (more > 0) continue;
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(end - Clock::now());
    if (left <= 0us) return -ETIMEDOUT;
    const int result = sd_bus_wait(bus, static_cast<std::uint64_t>(left.count()));
    if (result < 0 && result != -EINTR) return result;
  }
  return 0;
}

sd_bus* open_bus(const std::string& where, std::optional<std::chrono::microseconds> limit) {
  sd_bus* bus = nullptr;
  int result = 0;
  if (where == "system") {
    result = sd_bus_open_system(&bus);
  } else if (where == "session") {
    result = sd_bus_open_user(&bus);
  } else {
    result = sd_bus_new(&bus);
    if (result >= 0) result = sd_bus_set_address(bus, where.c_str());
    if (result >= 0) result = sd_bus_set_bus_client(bus, 1);
    if (result >= 0) result = sd_bus_start(bus);
  }
  const auto timeout = static_cast<std::uint64_t>(limit.value_or(answer_limit).count());
  if (result >= 0) result = sd_bus_set_method_call_timeout(bus, timeout);
  if (result >= 0) result = wait_for_greeting(bus, limit.value_or(greeting_limit));
  if (result < 0) {
    sd_bus_close_unref(bus);
    if (result == -ETIMEDOUT)
      throw BusError(SD_BUS_ERROR_TIMEOUT, "the message bus does not answer");
    const bool named = where == "system" || where == "session";
    throw std::runtime_error(
        fmt::format("cannot reach {} {}: {}{}", named ? "the " + where : "the bus at",
                    named ? "bus" : where, std::strerror(-result),
                    result == -EACCES || result == -EPERM ? ": run this with sudo"
                    : named ? "; is dbus-daemon running? \"systemctl status dbus\" shows it"
                            : ": name the bus that smartmeterd was started with (--bus)"));
  }
  return bus;
}

/// sd_bus_error with its storage.
struct Error {
  sd_bus_error raw{};
  ~Error() { sd_bus_error_free(&raw); }
};

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

/// Nobody serves the name, and nobody could start who does.
bool is_absent(const sd_bus_error& error) {
  const std::string_view name = error.name != nullptr ? error.name : "";
  return name == SD_BUS_ERROR_SERVICE_UNKNOWN || name == SD_BUS_ERROR_NAME_HAS_NO_OWNER ||
         name.starts_with("org.freedesktop.DBus.Error.Spawn") ||
         name.starts_with("org.freedesktop.systemd1.");
}

}  // namespace

bool is_called(const Object& object, const std::string& name) {
  const Value& adapter = object.adapter();
  const std::string node = adapter["Device"].text();
  if (name == node || name == base_name(node) || name == adapter["Name"].text()) return true;
  for (const Value& link : adapter["Links"].list())
    if (name == link.text() || name == base_name(link.text())) return true;
  std::error_code error;
  if (const auto real = std::filesystem::canonical(name, error);
      !error && real == std::filesystem::canonical(node, error))
    return true;
  char* end = nullptr;
  if (sd_bus_path_decode(object.path.c_str(), "/org/smartmeterd1/adapter", &end) <= 0) return false;
  const std::unique_ptr<char, decltype(&std::free)> decoded(end, &std::free);
  return name == decoded.get();
}

const Value::Map& Value::map() const {
  static const Map empty;
  const Map* map = std::get_if<Map>(&held);
  return map != nullptr ? *map : empty;
}

const Value::List& Value::list() const {
  static const List empty;
  const List* list = std::get_if<List>(&held);
  return list != nullptr ? *list : empty;
}

const Value& Value::operator[](const std::string& key) const {
  static const Value nothing;
  const auto found = map().find(key);
  return found == map().end() ? nothing : found->second;
}

bool Bus::reload() {
  Error error;
  sd_bus_message* raw = nullptr;
  check(sd_bus_message_new_method_call(bus_.get(), &raw, service, root, "org.smartmeterd1.Manager",
                                       "Reload"),
        "cannot ask for a reload");
  const std::unique_ptr<sd_bus_message, Unref> call(raw);
  // A daemon that is not running reads everything anyway once it starts.
  check(sd_bus_message_set_auto_start(call.get(), 0), "cannot ask for a reload");
  const int result = sd_bus_call(bus_.get(), call.get(), 0, &error.raw, nullptr);
  if (result >= 0) return true;
  if (is_absent(error.raw)) return false;
  fail(error.raw, result);
}

std::string Bus::explain(const sd_bus_error& error, int result) const {
  const std::string_view name = error.name != nullptr ? error.name : "";
  const bool nobody = is_absent(error);
  if (nobody && where_ == "system")
    return "smartmeterd is not running: start it with \"sudo systemctl start smartmeterd\"";
  if (nobody)
    return fmt::format(
        "smartmeterd is not running on this bus: start it with \"smartmeterd --bus {}\"", where_);
  if (name == SD_BUS_ERROR_TIMEOUT)
    return fmt::format("smartmeterd does not answer: {}",
                       where_ == "system"
                           ? "\"sudo systemctl restart smartmeterd\" starts it anew, \"journalctl "
                             "--unit smartmeterd\" shows what it did last"
                           : "end it, and start it anew");
  if (name == SD_BUS_ERROR_ACCESS_DENIED)
    return "the bus does not allow it: run this with sudo, or be a member of the group "
           "smartmeterd: \"sudo usermod -aG smartmeterd $USER\", then log in again";
  if (name == SD_BUS_ERROR_NO_REPLY && error.message != nullptr &&
      std::string_view(error.message).find("disconnected") != std::string_view::npos)
    return "smartmeterd ended before it answered: \"journalctl --unit smartmeterd\" shows why; "
           "ask again once it runs";
  if (error.message != nullptr) return safe(error.message);
  return std::strerror(-result);
}

void Bus::fail(const sd_bus_error& error, int result) const {
  throw BusError(error.name != nullptr ? error.name : "", explain(error, result));
}

std::vector<Object> Bus::objects() {
  Error error;
  sd_bus_message* raw = nullptr;
  const int result =
      sd_bus_call_method(bus_.get(), service, root, "org.freedesktop.DBus.ObjectManager",
                         "GetManagedObjects", &error.raw, &raw, "");
  if (sd_bus_error_has_name(&error.raw, SD_BUS_ERROR_UNKNOWN_OBJECT) != 0 ||
      sd_bus_error_has_name(&error.raw, SD_BUS_ERROR_UNKNOWN_METHOD) != 0)
    throw BusError(error.raw.name,
                   "another program than smartmeterd has the name org.smartmeterd1: \"busctl "
                   "status org.smartmeterd1\" shows which; end it, then start smartmeterd");
  if (result < 0) fail(error.raw, result);
  const std::unique_ptr<sd_bus_message, Unref> reply(raw);
  return objects_of(reply.get());
}

std::vector<Object> Bus::adapters() {
  auto all = objects();
  std::erase_if(all, [](const Object& object) { return object.adapter().map().empty(); });
  return all;
}

Object Bus::adapter(const std::string& name) {
  auto all = adapters();
  if (all.empty())
    throw std::runtime_error(
        "smartmeterd has no adapter: plug one in; \"smartmeterctl list\" shows what there is");
  std::string known;
  for (const Object& object : all)
    known += (known.empty() ? "" : ", ") + safe(object.adapter()["Device"].text());
  if (name.empty() && all.size() > 1)
    throw std::runtime_error(
        fmt::format("there are several adapters, name one of them: {}", known));
  for (Object& object : all)
    if (name.empty() || is_called(object, name)) return std::move(object);
  throw std::runtime_error(fmt::format("no adapter is called \"{}\"; known: {}", name, known));
}

tools::Fd Bus::open_capture(const Object& adapter, const char* format) {
  Error error;
  sd_bus_message* raw = nullptr;
  const int result =
      sd_bus_call_method(bus_.get(), service, adapter.path.c_str(), adapter_interface,
                         "OpenCapture", &error.raw, &raw, "a{sv}", 1, "format", "s", format);
  if (result < 0) fail(error.raw, result);
  const std::unique_ptr<sd_bus_message, Unref> reply(raw);
  int stream = -1;
  check(sd_bus_message_read(reply.get(), "h", &stream), "unreadable answer");
  tools::Fd own(::fcntl(stream, F_DUPFD_CLOEXEC, 3));  // the message's dies with it
  if (own.get() < 0) check(-errno, "cannot keep the capture's pipe");
  return own;
}

std::vector<Object> Bus::meters(const std::string& name) {
  auto all = objects();
  std::erase_if(all, [](const Object& object) { return object.meter().map().empty(); });
  if (name.empty()) return all;
  std::string known;
  for (const Object& object : all)
    known += (known.empty() ? "" : ", ") + safe(object.meter()["Id"].text());
  std::erase_if(all, [&name](const Object& object) {
    return object.meter()["Id"].text() != name && object.meter()["Name"].text() != name;
  });
  if (all.empty())
    throw std::runtime_error(fmt::format("no meter is called \"{}\"; known: {}", name,
                                         known.empty() ? "none yet" : known));
  return all;
}

Value Bus::properties(const char* destination, const std::string& path, const char* interface) {
  Error error;
  sd_bus_message* raw = nullptr;
  if (sd_bus_call_method(bus_.get(), destination, path.c_str(), "org.freedesktop.DBus.Properties",
                         "GetAll", &error.raw, &raw, "s", interface) < 0)
    return {};
  const std::unique_ptr<sd_bus_message, Unref> reply(raw);
  return read_value(reply.get());
}

Value Bus::adapter_properties(const std::string& path) {
  return properties(service, path, adapter_interface);
}

Value Bus::meter_properties(const std::string& path) {
  return properties(service, path, meter_interface);
}

Value Bus::manager_properties() {
  return properties(service, root, "org.smartmeterd1.Manager");
}

Value Bus::history(const std::string& path, std::uint64_t from_us, std::uint64_t to_us,
                   std::uint32_t step_s, const std::map<std::string, std::string>& options) {
  sd_bus_message* raw = nullptr;
  check(sd_bus_message_new_method_call(bus_.get(), &raw, service, path.c_str(), meter_interface,
                                       "History"),
        "cannot ask for the history");
  const std::unique_ptr<sd_bus_message, Unref> call(raw);
  int result = sd_bus_message_append(call.get(), "ttu", from_us, to_us, step_s);
  if (result >= 0) result = sd_bus_message_open_container(call.get(), 'a', "{sv}");
  for (const auto& [key, text] : options)
    if (result >= 0)
      result = sd_bus_message_append(call.get(), "{sv}", key.c_str(), "s", text.c_str());
  if (result >= 0) result = sd_bus_message_close_container(call.get());
  check(result, "cannot ask for the history");
  Error error;
  // A slow disk is read for it.
  constexpr std::chrono::microseconds limit = 60s;
  result = sd_bus_call(bus_.get(), call.get(), limit.count(), &error.raw, &raw);
  if (result < 0) fail(error.raw, result);
  const std::unique_ptr<sd_bus_message, Unref> reply(raw);
  return read_value(reply.get());
}

std::optional<pid_t> Bus::owner() {
  sd_bus_creds* raw = nullptr;
  const int result = sd_bus_get_name_creds(bus_.get(), service, SD_BUS_CREDS_PID, &raw);
  if (result == -ENXIO) return std::nullopt;  // nobody
  check(result, "cannot ask for the owner of org.smartmeterd1");
  const std::unique_ptr<sd_bus_creds, decltype(&sd_bus_creds_unref)> creds(raw, sd_bus_creds_unref);
  pid_t pid = 0;
  return sd_bus_creds_get_pid(raw, &pid) < 0 ? 0 : pid;
}

Value Bus::unit_properties(const std::string& unit) {
  char* raw = nullptr;
  check(sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.c_str(), &raw), "unit");
  const std::unique_ptr<char, decltype(&std::free)> path(raw, std::free);
  return properties("org.freedesktop.systemd1", path.get(), "org.freedesktop.systemd1.Unit");
}

namespace {

/// What the callbacks of a probe collect between two calls of sd_bus_process.
struct Probing {
  std::vector<Value> progress;
  std::optional<Value> result;
  std::optional<std::pair<Error, int>> refusal;
};

int on_probe_progress(sd_bus_message* message, void* data, sd_bus_error*) noexcept {
  try {
    static_cast<Probing*>(data)->progress.push_back(read_value(message));
  } catch (const std::exception&) {  // not the signal that the interface describes
  }
  return 0;
}

int on_probe_answer(sd_bus_message* message, void* data, sd_bus_error*) noexcept {
  auto& probing = *static_cast<Probing*>(data);
  try {
    if (sd_bus_message_is_method_error(message, nullptr) > 0) {
      auto& refusal = probing.refusal.emplace();
      sd_bus_error_copy(&refusal.first.raw, sd_bus_message_get_error(message));
      refusal.second = -sd_bus_message_get_errno(message);
    } else {
      probing.result = read_value(message);
    }
  } catch (const std::exception&) {
    probing.result.emplace();
  }
  return 0;
}

}  // namespace

Value Bus::probe(const Object& adapter, std::chrono::milliseconds timeout,
                 const std::function<void(const Value&)>& on_progress) {
  Probing probing;
  sd_bus_slot* raw = nullptr;
  check(sd_bus_match_signal(bus_.get(), &raw, service, adapter.path.c_str(), adapter_interface,
                            "ProbeProgress", on_probe_progress, &probing),
        "cannot ask for signals");
  const std::unique_ptr<sd_bus_slot, Unref> signals(raw);
  sd_bus_message* message = nullptr;
  check(sd_bus_message_new_method_call(bus_.get(), &message, service, adapter.path.c_str(),
                                       adapter_interface, "Probe"),
        "cannot ask for a probe");
  const std::unique_ptr<sd_bus_message, Unref> call(message);
  check(sd_bus_message_append(call.get(), "a{sv}", 1, "timeout-ms", "u",
                              static_cast<std::uint32_t>(timeout.count())),
        "cannot ask for a probe");
  const std::chrono::microseconds limit = timeout + answer_limit;  // the daemon ends it by itself
  check(sd_bus_call_async(bus_.get(), &raw, call.get(), on_probe_answer, &probing,
                          static_cast<std::uint64_t>(limit.count())),
        "cannot ask for a probe");
  const std::unique_ptr<sd_bus_slot, Unref> answer(raw);
  for (;;) {
    const int more = sd_bus_process(bus_.get(), nullptr);
    if (more < 0) throw std::runtime_error("the bus has gone away");
    for (const Value& details : std::exchange(probing.progress, {})) on_progress(details);
    if (probing.refusal) fail(probing.refusal->first.raw, probing.refusal->second);
    if (probing.result) return std::move(*probing.result);
    if (more > 0) continue;
    const int result = sd_bus_wait(bus_.get(), UINT64_MAX);
    if (result < 0 && result != -EINTR) check(result, "the bus has gone away");
  }
}

/// What the callbacks of sd-bus collect: the listener may call the bus again, and they may not.
struct Bus::Heard {
  BusListener listener;
  std::vector<ReadingSignal> readings;
  std::optional<bool> owned;
  bool changed = false, answered = false;
  std::optional<std::vector<Object>> objects;

  static int on_signal(sd_bus_message* message, void* data, sd_bus_error*) noexcept {
    auto& heard = *static_cast<Heard*>(data);
    try {
      if (sd_bus_message_is_signal(message, meter_interface, "Reading") <= 0) {
        heard.changed = true;
        return 0;
      }
      ReadingSignal signal{sd_bus_message_get_path(message), 0, 0, {}};
      signal.time_us = read_value(message).count();
      signal.sequence = read_value(message).count();
      signal.values = read_value(message);
      heard.readings.push_back(std::move(signal));
    } catch (const std::exception&) {  // not the signal that the interface describes
    }
    return 0;
  }

  static int on_owner(sd_bus_message* message, void* data, sd_bus_error*) noexcept {
    const char *name = nullptr, *before = nullptr, *after = nullptr;
    if (sd_bus_message_read(message, "sss", &name, &before, &after) >= 0)
      static_cast<Heard*>(data)->owned = *after != '\0';
    return 0;
  }

  static int on_objects(sd_bus_message* message, void* data, sd_bus_error*) noexcept {
    auto& heard = *static_cast<Heard*>(data);
    heard.answered = true;
    heard.objects.reset();
    try {
      if (sd_bus_message_is_method_error(message, nullptr) == 0)
        heard.objects = objects_of(message);
    } catch (const std::exception&) {  // as if it were refused
    }
    return 0;
  }
};

Bus::Bus(const std::string& where, std::optional<std::chrono::microseconds> limit)
    : where_(where), bus_(open_bus(where, limit)) {}
Bus::~Bus() = default;

void Bus::add_match(const std::string& rule, sd_bus_message_handler_t handler) {
  sd_bus_slot* slot = nullptr;
  check(sd_bus_add_match(bus_.get(), &slot, rule.c_str(), handler, heard_.get()),
        "cannot ask for signals");
  slots_.emplace_back(slot);
}

void Bus::listen(BusListener listener) {
  heard_ = std::make_unique<Heard>();
  heard_->listener = std::move(listener);
  add_match(fmt::format("type='signal',sender='{}',path_namespace='{}'{}", service, root,
                        heard_->listener.on_change
                            ? ""
                            : fmt::format(",interface='{}',member='Reading'", meter_interface)),
            Heard::on_signal);
  add_match(fmt::format("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
                        "arg0='{}'",
                        service),
            Heard::on_owner);
}

void Bus::ask_objects() {
  constexpr const char* what = "cannot ask for the objects";
  sd_bus_message* raw = nullptr;
  check(sd_bus_message_new_method_call(bus_.get(), &raw, service, root,
                                       "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
        what);
  const std::unique_ptr<sd_bus_message, Unref> call(raw);
  // Whoever has stopped the daemon does not want it back because somebody looks.
  check(sd_bus_message_set_auto_start(call.get(), 0), what);
  sd_bus_slot* slot = nullptr;
  check(sd_bus_call_async(bus_.get(), &slot, call.get(), Heard::on_objects, heard_.get(), 0), what);
  question_.reset(slot);
}

bool Bus::process() {
  for (;;) {
    const int more = sd_bus_process(bus_.get(), nullptr);
    if (more < 0)
      throw std::runtime_error("the bus has gone away: start this anew once it is back");
    Heard& heard = *heard_;
    if (const auto owned = std::exchange(heard.owned, std::nullopt))
      heard.listener.on_owner(*owned);
    if (std::exchange(heard.answered, false) && heard.listener.on_objects)
      heard.listener.on_objects(std::exchange(heard.objects, std::nullopt));
    if (std::exchange(heard.changed, false) && heard.listener.on_change) heard.listener.on_change();
    for (const ReadingSignal& signal : std::exchange(heard.readings, {}))
      if (!heard.listener.on_reading(signal)) return false;
    if (more == 0) return true;
  }
}

pollfd Bus::waits_for() {
  return {.fd = sd_bus_get_fd(bus_.get()),
          .events = static_cast<short>(sd_bus_get_events(bus_.get())),
          .revents = 0};
}

std::vector<const Object*> meters_behind(const std::vector<Object>& objects,
                                         std::string_view parent) {
  std::vector<const Object*> found;
  for (const Object& object : objects) {
    if (object.meter().map().empty()) continue;
    const std::string carrier = object.meter()["Parent"].text();
    const auto is_carried = [&] {
      return carrier.size() > 1 && std::ranges::count(objects, carrier, &Object::path) > 0;
    };
    if (parent.empty() ? !is_carried() : carrier == parent) found.push_back(&object);
  }
  return found;
}

}  // namespace smartmeterctl
