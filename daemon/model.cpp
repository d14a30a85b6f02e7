// SPDX-License-Identifier: Apache-2.0
// Names of the daemon's states, as D-Bus and MQTT show them.
#include "daemon/model.hpp"

#include <algorithm>

namespace smartmeterd {

namespace {

using namespace std::chrono_literals;

/// No meter pushes faster than it makes sense to call its data stale.
constexpr io::Clock::duration stale_after_min = 10s;

}  // namespace

// Without a default, so that the compiler names what a new value lacks.

std::string_view name(AdapterState state) noexcept {
  switch (state) {
    case AdapterState::waiting: return "waiting";
    case AdapterState::probing: return "probing";
    case AdapterState::synced: return "synced";
    case AdapterState::silent: return "silent";
    case AdapterState::failed: return "failed";
  }
  return "";
}

std::string_view name(Problem problem) noexcept {
  switch (problem) {
    case Problem::none: return "none";
    case Problem::port_busy: return "port-busy";
    case Problem::no_access: return "no-access";
    case Problem::no_bytes: return "no-bytes";
    case Problem::line_break: return "break";
    case Problem::no_frame: return "no-frame";
    case Problem::bad_checksum: return "bad-checksum";
    case Problem::key_missing: return "key-missing";
    case Problem::key_wrong: return "key-wrong";
    case Problem::authentication_key_wrong: return "authentication-key-wrong";
    case Problem::list_unknown: return "list-unknown";
    case Problem::replay: return "replay";
    case Problem::less_protected: return "less-protected";
  }
  return "";
}

std::string_view name(CaptureFormat format) noexcept {
  switch (format) {
    case CaptureFormat::raw: return "raw";
    case CaptureFormat::timed: return "capture";
  }
  return "";
}

std::string_view name(LineSource source) noexcept {
  switch (source) {
    case LineSource::none: return "";
    case LineSource::fallback: return "default";
    case LineSource::configured: return "configured";
    case LineSource::asked: return "asked";
    case LineSource::remembered: return "remembered";
    case LineSource::detected: return "detected";
  }
  return "";
}

std::string_view name(KeyState state) noexcept {
  switch (state) {
    case KeyState::not_needed: return "not-needed";
    case KeyState::missing: return "missing";
    case KeyState::wrong: return "wrong";
    case KeyState::authentication_key_wrong: return "authentication-key-wrong";
    case KeyState::ok: return "ok";
  }
  return "";
}

std::string_view name(PublisherState state) noexcept {
  switch (state) {
    case PublisherState::disabled: return "disabled";
    case PublisherState::connecting: return "connecting";
    case PublisherState::online: return "online";
    case PublisherState::waiting: return "waiting";
  }
  return "";
}

std::string_view text_of(const meter::NamedReading& reading, std::span<char> buffer) noexcept {
  if (reading.is_time) return reading.time.to_text(buffer);
  return reading.is_text ? reading.text : std::string_view();
}

const LatestValue* Meter::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(values, name, &LatestValue::name);
  return found == values.end() ? nullptr : &*found;
}

std::optional<io::Clock::duration> Meter::stale_after() const noexcept {
  using Seconds = std::chrono::duration<double>;
  // A meter that is asked cannot speak more often than that.
  const auto asked_s = Seconds(adapter ? adapter->readout_interval : 0s).count();
  const double longest_s = std::max(interval_s, asked_s);
  if (is_stateless || longest_s <= 0) return std::nullopt;
  return std::max(
      std::chrono::duration_cast<io::Clock::duration>(Seconds(longest_s * intervals_until_stale)),
      stale_after_min);
}

}  // namespace smartmeterd
