// SPDX-License-Identifier: Apache-2.0
// Device: one adapter from its port to accepted telegrams, with its state and its problems.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
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
#include "daemon/log.hpp"
#include "daemon/meter_registry.hpp"
#include "daemon/model.hpp"
#include "daemon/recent_gaps.hpp"
#include "meter/decoder.hpp"
#include "meter/line_detector.hpp"
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
  decltype(&io::make_port) make_port = io::make_port;                 ///< and another kernel
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
  /// As it was given, defaults not filled in; the node of one that was found is the present one.
  const AdapterConfig& config() const noexcept { return config_; }
  /// The adapter is plugged in there, by udev's key.
  bool is_on(std::string_view syspath) const noexcept {
    return !syspath.empty() && syspath_ == syspath;
  }
  /// Not plugged in as far as is known, or the port has ended by itself.
  bool is_lost() const noexcept { return syspath_.empty() || is_lost_; }

  void set_keys(std::shared_ptr<const meter::dlms::KeyRing> keys);
  /// The adapter was plugged in (again), maybe as another node, or its permissions changed: open
  /// it now.
  void appeared(const io::SerialDevice& serial);
  /// The adapter was unplugged: close at once, so that the kernel can give the node away.
  void vanished();

 private:
  void port_opened() override;
  void port_received(io::MirroredRing& ring, std::size_t lost) override;
  void port_failed(io::PortError error, const std::string& detail) override;
  void probe(std::chrono::milliseconds timeout, ProbeDone done) override;
  std::expected<int, int> open_capture(CaptureFormat format) override;

  AdapterConfig complete_config() const;
  void open();
  void retry_later();
  void reset_port();
  void start_session(meter::Link link, const meter::LineFormat& line);
  void act(const meter::Session::Action& action);
  void session_expired();
  void send(meter::Bytes bytes);
  void set_line(const meter::LineFormat& format);

  // Line settings: device_detection.cpp.
  /// Bytes without a frame that are too many.
  static std::uint64_t no_frame_limit(std::optional<meter::Link> link) noexcept;
  bool detects() const noexcept;
  bool is_detecting() const noexcept;
  LineSource line_source(const LineSettings& line) const noexcept;
  void make_detector(const meter::LineFormat& first);
  void frame_came() noexcept;
  void start_detection();
  void detect(meter::Bytes fresh);
  void detection_expired();
  void follow(const meter::LineDetector::Advice& advice);
  void line_found(const LineSettings& line, std::optional<meter::Link> link);
  void ask_if_it_answers();
  void check_fit();
  void tell_progress(bool is_end);
  void answer_probe_if_found();
  void probe_expired();
  void fail_probe(io::PortError error, const std::string& detail);
  void finish_probe(const ProbeResult& result);

  bool only_echo(io::MirroredRing& ring);
  /// Everything that is whole. The link of a telegram that was accepted, if one was.
  std::optional<meter::Link> decode();
  void pass_on(const meter::Decoder::Step& step, bool is_verified);
  void closed(std::string_view why);
  void log_lost(log::Level level, std::string_view what);
  bool accepted();
  void refused(const meter::Fault& fault);
  void count(std::string_view reason, std::uint64_t amount = 1);
  bool half_received() const noexcept;
  io::TimePoint half_received_until() const noexcept;
  io::Clock::duration silence_limit() const noexcept;
  io::TimePoint silent_since() const noexcept;
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
  std::string syspath_;     // empty: not plugged in, or udev has not said
  bool is_lost_ = false;
  bool is_renewed_ = false;  // udev spoke of the adapter while the port was open
  Adapter adapter_;
  Latencies latencies_;  // of the adapter
  Captures captures_;
  meter::Decoder decoder_;
  std::unique_ptr<io::Port> port_;
  AdapterConfig port_config_;  // that it was made with
  io::MirroredRing* ring_ = nullptr;  // the port's; only while bytes are pending in it
  io::Operation retry_timer_;
  io::Operation silence_timer_;
  std::chrono::seconds backoff_;
  std::string last_failure_;   // told, and not to be told again
  bool is_resetting_ = false;
  io::TimePoint reset_at_{};             // the next time, while silent
  io::Clock::duration reset_pause_{};    // grows

  /// Only where the role allows writing; nothing is ever written without it.
  std::unique_ptr<meter::Session> session_;
  io::Operation session_timer_;
  std::vector<std::byte> echo_;     // written, and not yet followed by anything else
  io::TimePoint last_request_{};
  bool line_refused_ = false;       // told once

  /// Only for a serial line that is not configured, and that no session sets.
  std::unique_ptr<meter::LineDetector> detector_;
  meter::LineFormat detector_first_;
  std::optional<LineSettings> proven_;  // in this run or a former one
  bool is_proven_now_ = false;          // in this one
  std::uint64_t bytes_without_frame_ = 0;
  io::TimePoint frame_at_{};            // the last one came
  io::Operation detection_timer_;
  io::TimePoint detection_at_{};
  meter::LineDetector::Progress told_progress_;
  io::TimePoint progress_told_at_{};
  struct Probe {
    ProbeDone done;
    std::chrono::milliseconds timeout;
    std::uint64_t bytes_before, telegrams_before;
  };
  std::optional<Probe> probe_;
  io::Operation probe_timer_;
  io::LineCounters counted_{};

  // Evidence for the diagnosis since the last accepted telegram.
  struct Evidence {
    io::TimePoint since{};
    std::uint64_t bytes = 0;
    std::uint64_t zeros = 0;  ///< the newest chunks that are nothing else
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
  std::map<Problem, io::TimePoint> told_problems_;
};

}  // namespace smartmeterd
