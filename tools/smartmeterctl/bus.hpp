// SPDX-License-Identifier: Apache-2.0
// Bus: what smartmeterd says on D-Bus.
#pragma once

#include <poll.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tools/fd.hpp"

namespace smartmeterctl {

/// Any value that comes over the bus. Arrays and structures are lists, dictionaries are maps.
struct Value {
  using List = std::vector<Value>;
  using Map = std::map<std::string, Value>;
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, List, Map>
      held;

  /// The empty value of the type where it is something else: older daemons lack newer properties.
  std::string text() const { return get<std::string>(); }
  bool boolean() const { return get<bool>(); }
  std::uint64_t count() const { return get<std::uint64_t>(); }
  double number() const { return get<double>(); }
  const List& list() const;
  const Map& map() const;
  /// A member of a map; an empty value where there is none.
  const Value& operator[](const std::string& key) const;

 private:
  template <class T>
  T get() const {
    const T* value = std::get_if<T>(&held);
    return value != nullptr ? *value : T{};
  }
};

/// One object and the properties of its interfaces.
struct Object {
  std::string path;
  Value interfaces;
  const Value& adapter() const { return interfaces["org.smartmeterd1.Adapter"]; }
  const Value& meter() const { return interfaces["org.smartmeterd1.Meter"]; }
  const Value& publisher() const { return interfaces["org.smartmeterd1.Publisher"]; }
};

/// What the daemon answered in place of what it was asked for.
struct BusError : std::runtime_error {
  BusError(std::string_view error_name, const std::string& sentence)
      : std::runtime_error(sentence), name(error_name) {}
  /// Nothing was answered: the bus or smartmeterd hangs.
  bool is_silence() const { return name == SD_BUS_ERROR_TIMEOUT; }
  std::string name;  ///< "org.smartmeterd1.Error.Timeout"
};

/// One Reading signal.
struct ReadingSignal {
  std::string path;       ///< of the meter
  std::uint64_t time_us;  ///< arrival
  std::uint64_t sequence;
  Value values;
};

/// What is called with what the daemon says by itself.
struct BusListener {
  /// A telegram; not called any more once it has returned false.
  std::function<bool(const ReadingSignal&)> on_reading;
  /// The daemon leaves the bus (false) or comes (true).
  std::function<void(bool)> on_owner;
  /// Objects have come or gone, states have changed, a telegram was refused; may be empty.
  std::function<void()> on_change = {};
  /// The answer to Bus::ask_objects; nothing: it was refused, or nobody is there. May be empty.
  std::function<void(std::optional<std::vector<Object>>)> on_objects = {};
};

/// A connection to the bus that smartmeterd serves. Every failure is a std::runtime_error whose
/// sentence says what to do; a BusError where the daemon refused.
class Bus {
 public:
  /// "system", "session" or an address. With a limit nothing is waited for longer than that.
  explicit Bus(const std::string& where,
               std::optional<std::chrono::microseconds> limit = std::nullopt);
  ~Bus();

  /// The process that serves the name, if any; nothing is started. 0: the bus does not know it.
  std::optional<pid_t> owner();
  /// What systemd says of a unit (org.freedesktop.systemd1.Unit); empty where it cannot be asked.
  Value unit_properties(const std::string& unit);

  std::vector<Object> objects();
  std::vector<Object> adapters();
  /// The adapter with this node, link or name; where `name` is empty the only one there is.
  Object adapter(const std::string& name);
  /// A pipe that gets every byte that the adapter receives from now on; reading it never waits.
  /// `format`: "raw", or "capture" for smartmeter-capture(5).
  tools::Fd open_capture(const Object& adapter, const char* format = "raw");
  /// Has the adapter find its line settings anew; calls `on_progress` with the details of each
  /// ProbeProgress. The answer as Adapter.Probe gives it.
  Value probe(const Object& adapter, std::chrono::milliseconds timeout,
              const std::function<void(const Value&)>& on_progress);
  /// The meters; where `name` is not empty only the one with this id or name.
  std::vector<Object> meters(const std::string& name);
  /// The properties of org.smartmeterd1.Adapter, or an empty value if the object is gone.
  Value adapter_properties(const std::string& path);
  /// The properties of org.smartmeterd1.Meter, or an empty value if the object is gone.
  Value meter_properties(const std::string& path);
  /// The properties of org.smartmeterd1.Manager, or an empty value if nobody serves it.
  Value manager_properties();
  /// What Meter.History answers: a list of (start in µs, values by name). `options` are texts.
  Value history(const std::string& path, std::uint64_t from_us, std::uint64_t to_us,
                std::uint32_t step_s, const std::map<std::string, std::string>& options);
  /// Has the daemon read its configuration and keys again; false where it is not running.
  bool reload();
  /// From now on `process` calls the listener. Once.
  void listen(BusListener listener);
  /// Asks for the objects, and does not wait.
  void ask_objects();
  /// Handles what has come; false once on_reading has returned false.
  bool process();
  /// What to wait for with poll(2) before the next `process`.
  pollfd waits_for();

 private:
  struct Heard;
  struct Unref {
    void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
    void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
  };
  void add_match(const std::string& rule, sd_bus_message_handler_t handler);
  Value properties(const char* destination, const std::string& path, const char* interface);
  std::string explain(const sd_bus_error& error, int result) const;
  [[noreturn]] void fail(const sd_bus_error& error, int result) const;
  std::string where_;
  std::unique_ptr<sd_bus, Unref> bus_;
  std::unique_ptr<Heard> heard_;  // its address is known to the slots
  std::vector<std::unique_ptr<sd_bus_slot, Unref>> slots_;
  std::unique_ptr<sd_bus_slot, Unref> question_;
};

/// Whether a person may mean the adapter: its node or one of its links, with or without their
/// folders, the NAME of its table, or the name that ends its path.
bool is_called(const Object& object, const std::string& name);

/// The meters that no other one of these carries, or those that the one with the path `parent`
/// carries; in their order.
std::vector<const Object*> meters_behind(const std::vector<Object>& objects,
                                         std::string_view parent = {});

}  // namespace smartmeterctl
