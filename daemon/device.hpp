// SPDX-License-Identifier: Apache-2.0
// Device: one adapter from its port to accepted telegrams, with its state and its problems.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/capture.hpp"
#include "daemon/config.hpp"
#include "daemon/history/storage.hpp"
#include "daemon/io/device_monitor.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/io/port.hpp"
#include "daemon/meter_registry.hpp"
#include "daemon/model.hpp"
#include "daemon/recent_gaps.hpp"
#include "meter/decoder.hpp"
#include "meter/session.hpp"

namespace smartmeterd {

/// What a device works with; all of it outlives the device.
struct DeviceEnvironment {
  io::Loop& loop;
  Sink& sinks;
  MeterRegistry& meters;
  history::Storage& storage;
  bool accept_counter_reset = false;
  decltype(&meter::make_session) make_session = meter::make_session;  ///< another one in tests
};

/// Opens its port, again and again with back-off, decodes what arrives, and says what is wrong.
class Device : private io::PortListener, private AdapterControl {
 public:
  /// `serial` holds what udev knows, if it does. The port is opened at once.
  Device(const DeviceEnvironment& environment, AdapterConfig config,
         std::optional<io::SerialDevice> serial,
         std::shared_ptr<const meter::dlms::KeyRing> keys);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Adapter& adapter() const noexcept { return adapter_; }
  /// As it was given, defaults not filled in.
  const AdapterConfig& config() const noexcept { return config_; }
  /// True when this is the port: by udev's key, or the configuration names its node or a link.
  bool is_on(const io::SerialDevice& serial) const;

  void set_keys(std::shared_ptr<const meter::dlms::KeyRing> keys);
  /// The adapter was plugged in (again), or its permissions changed: open it now.
  void appeared(const io::SerialDevice& serial);
  /// The adapter was unplugged: close at once, so that the kernel can give the node away.
  void vanished();

 private:
  void port_opened() override;
  void port_received(io::MirroredRing& ring, std::size_t lost) override;
  void port_failed(io::PortError error, const std::string& detail) override;
  std::expected<int, int> open_capture() override { return captures_.open(); }

  void open();
  void retry_later();
  void start_session(const LineSettings& line);
  void act(const meter::Session::Action& action);
  void session_expired();
  void set_line(const meter::LineFormat& format);
  bool only_echo(io::MirroredRing& ring);
  void decode();
  void closed();
  bool accepted();
  void refused(const meter::Fault& fault);
  void count(std::string_view reason, std::uint64_t amount = 1);
  bool half_received() const noexcept;
  io::TimePoint half_received_until() const noexcept;
  io::TimePoint silent_at() const noexcept;
  void watch_silence();
  void silence_expired();
  void drop_half_received();
  void diagnose();
  void set_state(AdapterState state, Problem problem);
  void tell(Problem problem);
  void know(const io::SerialDevice& serial);
  void save_baselines();
  void update_line_counters();

  DeviceEnvironment environment_;
  AdapterConfig config_;
  std::string syspath_;
  Adapter adapter_;
  Captures captures_;
  meter::Decoder decoder_;
  std::unique_ptr<io::Port> port_;
  io::MirroredRing* ring_ = nullptr;  // the port's; only while bytes are pending in it
  io::Operation retry_timer_;
  io::Operation silence_timer_;
  std::chrono::seconds backoff_;
  std::string last_failure_;

  /// Only where the role allows writing; nothing is ever written without it.
  std::unique_ptr<meter::Session> session_;
  io::Operation session_timer_;
  std::vector<std::byte> echo_;     // written, and not yet followed by anything else
  io::TimePoint last_request_{};
  bool line_refused_ = false;       // told once
  io::LineCounters counted_{};

  // Evidence for the diagnosis since the last accepted telegram.
  struct Evidence {
    io::TimePoint since{};
    std::uint64_t bytes = 0;
    std::uint64_t zeros = 0;
    std::uint64_t refusals = 0;
    std::optional<meter::Errc> last_fault;
  } evidence_;
  io::TimePoint last_byte_{};
  io::TimePoint last_telegram_{};
  io::TimePoint last_saved_{};
  io::TimePoint silence_deadline_{};
  RecentGaps gaps_;                    // between telegrams
  std::uint64_t ring_total_ = 0;       // of the present ring
  std::array<io::TimePoint, meter::errc_count> last_told_{};
  std::array<io::TimePoint, problem_count> told_problems_{};
};

}  // namespace smartmeterd
