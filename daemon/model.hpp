// SPDX-License-Identifier: Apache-2.0
// Adapter and Meter: the daemon's state, which the sinks show. Sink: one output.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/latency.hpp"
#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/quantity.hpp"
#include "meter/reading.hpp"

namespace smartmeterd {

enum class AdapterState : std::uint8_t { waiting, probing, synced, silent, failed };
inline constexpr auto last_adapter_state = AdapterState::failed;
std::string_view name(AdapterState state) noexcept;

/// Why an adapter gives no readings: different states with different messages.
enum class Problem : std::uint8_t {
  none, port_busy, no_access, no_bytes, line_break, no_frame, bad_checksum, key_missing, key_wrong,
  authentication_key_wrong, list_unknown, replay, less_protected,
};
inline constexpr auto last_problem = Problem::less_protected;
std::string_view name(Problem problem) noexcept;  ///< as on D-Bus: "port-busy", "break"

/// Where an adapter's line settings come from.
enum class LineSource : std::uint8_t {
  none,        ///< there is no serial line
  fallback,    ///< usual for this kind of adapter, or being tried: nothing is proven yet
  configured,
  asked,       ///< the role asks the meter: its session sets the line, nothing is looked for
  remembered,  ///< proven in an earlier run
  detected,    ///< proven now
};
std::string_view name(LineSource source) noexcept;  ///< as on D-Bus: "", "default", "configured"

/// How the search for line settings goes.
struct ProbeProgress {
  std::string line;  ///< being tried
  std::uint64_t bytes = 0;
  std::uint64_t frames = 0;        ///< with a right checksum
  std::uint64_t frame_starts = 0;
  std::uint64_t errors = 0;        ///< framing and parity
  std::string_view message;        ///< a sentence
};

/// What a search that a client asked for came to.
struct ProbeResult {
  enum class Error : std::uint8_t {
    none, in_progress, timeout, no_data, no_adapter, port_busy, no_access, not_supported,
  };
  Error error = Error::none;
  std::string message;   ///< of an error
  std::string line;      ///< "2400-8E1"
  std::string protocol;  ///< link name, "" where the proof does not tell
  std::string meter_id;  ///< "" where none is known: its key may be missing
};
using ProbeDone = std::function<void(const ProbeResult&)>;

/// How a capture comes: bytes as they are received, or the text of smartmeter-capture(5), which has
/// times, line settings and errors as well.
enum class CaptureFormat : std::uint8_t { raw, timed };
std::string_view name(CaptureFormat format) noexcept;  ///< as on D-Bus: "raw", "capture"

/// What a client may have an adapter do; its device does it.
class AdapterControl {
 public:
  /// Finds line settings and protocol anew. `done` is called once, at once or later.
  virtual void probe(std::chrono::milliseconds timeout, ProbeDone done) = 0;
  /// The read end of a pipe that gets every byte received from now on, which the caller closes; or
  /// an errno, EUSERS where there are as many as there may be.
  virtual std::expected<int, int> open_capture(CaptureFormat format) = 0;

 protected:
  ~AdapterControl() = default;
};

/// What a client wants to know of a meter's past: from < to, and either step or period.
struct HistoryQuestion {
  std::string meter_id;
  std::int64_t from_us = 0, to_us = 0;  ///< CLOCK_REALTIME
  std::uint32_t step_s = 0;             ///< a multiple of 900; 0: stored quarter hours, or `period`
  std::string period;                   ///< "", "day", "week", "month"
  std::string zone;                     ///< IANA; "": the meter's, else the system's
};
struct HistoryRow {
  std::int64_t start_us = 0;
  std::vector<std::pair<std::string_view, double>> values;  ///< keys as Meter.History has them
};
struct HistoryAnswer {
  enum class Error : std::uint8_t { none, invalid_option, limit_reached, not_supported, failed };
  Error error = Error::none;
  std::string message;  ///< of an error
  std::vector<HistoryRow> rows;
  std::shared_ptr<const void> keys;  ///< what the rows' keys point into; null: they are literals
};
using HistoryDone = std::function<void(HistoryAnswer)>;

/// One input: a serial port or a TCP connection. Written by its device, read by the sinks.
struct Adapter {
  std::string name;                ///< slug: object path, topic and state file
  std::string table;               ///< NAME of its [adapter.NAME], or what stands in for it
  std::string device;              ///< "/dev/ttyUSB0" or "tcp://host:port"
  std::vector<std::string> links;  ///< stable names
  std::string kind;                ///< mbus, ir, p1, or ""
  std::string usb_id;              ///< "0403:6001" or ""
  std::string usb_serial;
  AdapterState state = AdapterState::waiting;
  Problem problem = Problem::none;
  std::string line;                ///< "2400-8E1" or ""
  LineSource line_source = LineSource::none;
  std::string protocol;            ///< link name or "" while unknown
  std::uint64_t bytes_received = 0;
  std::uint64_t telegrams_received = 0;
  /// Refusals by reason of the D-Bus interface: framing, parity, overrun, crc, length, decrypt,
  /// replay, overflow, unknown; and reset, of a silent port.
  std::map<std::string, std::uint64_t, std::less<>> errors;
  std::int64_t last_activity_us = 0;  ///< CLOCK_REALTIME, 0 = never
  /// Between two readouts of meters that are asked; 0 where they speak by themselves.
  std::chrono::seconds readout_interval{0};
  AdapterControl* control = nullptr;  ///< null: it can be asked for nothing
  /// What its telegrams took, stage by stage; who ends a stage adds to it. Null: not measured, for
  /// its telegrams come from elsewhere.
  Latencies* latencies = nullptr;
  /// "mqtt://host:port/topic" that its telegrams come from; "" for a port of this machine.
  std::string translated_from;
  /// One of several that share the telegrams of many meters: it does not see all of any meter's.
  bool is_stateless = false;
};

enum class KeyState : std::uint8_t { not_needed, missing, wrong, authentication_key_wrong, ok };
inline constexpr auto last_key_state = KeyState::ok;
std::string_view name(KeyState state) noexcept;

/// One value of a meter, kept after the telegram is gone.
struct LatestValue {
  std::string name;
  meter::Decimal value;
  std::string text;
  meter::Unit unit = meter::Unit::none;
  bool is_text = false;   ///< also a date-time: ISO 8601 as in the telegram JSON
  bool derived = false;
  io::TimePoint arrived{};
};

/// A text, or a date-time as ISO 8601 in `buffer`; empty for a number.
std::string_view text_of(const meter::NamedReading& reading, std::span<char> buffer) noexcept;

/// Data older than this many intervals is stale.
inline constexpr int intervals_until_stale = 3;

/// One meter with its latest values, merged over its lists.
struct Meter {
  std::string id;                 ///< as the telegram says, or "unknown-<adapter>"; of a meter
                                  ///< behind another one without an id "<parent>-<channel>"
  std::string slug;               ///< topic segment
  std::string display_name;
  std::string medium = "electricity";  ///< meter::name(Medium)
  std::string manufacturer;       ///< three letters, or ""
  std::string model;
  const Adapter* adapter = nullptr;  ///< null: it came from elsewhere
  std::string parent_id;          ///< of the meter that carries this one; "" if none
  bool encrypted = false;
  KeyState key_state = KeyState::not_needed;
  double interval_s = 0;          ///< measured, 0 while unknown
  bool fresh = true;              ///< data is not older than three intervals (availability)
  std::uint64_t sequence = 0;
  std::int64_t last_update_us = 0;   ///< CLOCK_REALTIME of the last byte
  io::TimePoint last_update{};
  std::string meter_time;         ///< ISO 8601 as in the telegram JSON, "" if none
  meter::Authentication authentication = meter::Authentication::clear;
  meter::Link link = meter::Link::raw;
  std::string profile;            ///< list rule that matched
  /// Its adapter is: nothing is known of it but its last telegram.
  bool is_stateless = false;
  std::vector<LatestValue> values;   ///< in order of first arrival

  /// A register of the last telegram.
  struct Register {
    meter::Obis obis;
    meter::Decimal value;
    meter::Unit unit;
    bool is_text;
    std::string text;
    /// What the source calls it, where it has no OBIS code: "energy storage 1".
    std::string label;
  };
  std::vector<Register> registers;

  const LatestValue* find(std::string_view name) const noexcept;
  /// How old its data may become before it is stale: a few intervals, measured or asked for;
  /// nothing while none is known.
  std::optional<io::Clock::duration> stale_after() const noexcept;
};

enum class PublisherState : std::uint8_t { disabled, connecting, online, waiting };
std::string_view name(PublisherState state) noexcept;

/// The MQTT side: one configured broker.
struct Publisher {
  std::string name;
  std::string role = "sink";         ///< sink, source, both
  PublisherState state = PublisherState::disabled;
  std::string broker;                ///< host:port or unix://path, never credentials
  std::string last_error;            ///< why it is not online, or what the broker does not allow
  bool is_unauthorized = false;      ///< the broker has refused user and password
  std::uint64_t queued = 0;          ///< messages kept for later
  std::uint64_t dropped = 0;         ///< messages given up since start
  std::uint64_t published = 0;       ///< messages handed to the broker since start
  /// From the last byte of a telegram of a port of this machine until the first message about it is
  /// in the broker's socket; not of what had to wait until the broker came.
  LatencyHistogram latency;
};

/// One accepted telegram on its way to the sinks. Everything in it is valid during the call only.
struct Telegram {
  const Meter& meter;                  ///< already merged with this telegram
  const meter::ReadingSet& readings;   ///< registers
  const meter::NamedReadings& named;   ///< this telegram's named readings
  const meter::QuantityMap& quantities;
  std::vector<std::string_view> changed;  ///< names whose merged value changed
  /// When a port of this machine had read its last byte; nothing: it is not to be measured.
  std::optional<io::TimePoint> last_byte = {};
};

/// One whole telegram as received: every link frame of one APDU, one after the other. Everything in
/// it is valid during the call only.
struct RawTelegram {
  const Adapter& adapter;
  meter::Bytes frames;       ///< at most 16 KiB
  meter::Link link;
  std::int64_t received_us;  ///< CLOCK_REALTIME of its last byte
  /// Its checksum is good, it was opened where it is encrypted (tag good where there is one and its
  /// key is known), decoded and accepted. False: whole, but its key is missing here, or does not
  /// fit.
  bool is_verified;
  std::optional<io::TimePoint> last_byte = {};  ///< as in `Telegram`
};

/// One output. Calls come from the loop, in order; a sink never blocks and never throws.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void adapter_added(const Adapter&) {}
  virtual void adapter_changed(const Adapter&) {}
  /// Before the adapter is destroyed.
  virtual void adapter_removed(const Adapter&) {}
  virtual void meter_added(const Meter&) {}
  /// Identity, key state, interval or freshness changed (not values).
  virtual void meter_changed(const Meter&) {}
  virtual void meter_removed(const Meter&) {}
  virtual void telegram(const Telegram&) {}
  /// After `telegram` of the same one.
  virtual void raw_telegram(const RawTelegram&) {}
  virtual void publisher_added(const Publisher&) {}
  virtual void publisher_changed(const Publisher&) {}
  virtual void publisher_removed(const Publisher&) {}
  /// At most once a second and reason for each adapter.
  virtual void telegram_rejected(const Adapter&, meter::Fault, std::uint64_t /*count*/) {}
  /// While line settings are looked for, a few times a second at most.
  virtual void probe_progress(const Adapter&, const ProbeProgress&) {}
};

}  // namespace smartmeterd
