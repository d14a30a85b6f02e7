// SPDX-License-Identifier: Apache-2.0
// Decoder: JSON messages of gateways (Glow, gPlug, whatwatt, …) → reading sets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/errc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/reading.hpp"
#include "meter_json/document.hpp"

namespace meter::json {

/// The kinds of messages; the content decides, then the topic.
enum class Format : std::uint8_t {
  none,
  glow_zcl,       ///< Hildebrand Glow, raw Zigbee attributes: SMART/HILD/<id>
  glow_ihd,       ///< Hildebrand Glow, local MQTT: glow/<id>/SENSOR/electricitymeter
  glow_state,     ///< … glow/<id>/STATE: the gateway itself, no meter
  gplug,          ///< gPlug and other Tasmota scripts: tele/<topic>/SENSOR
  whatwatt,       ///< whatwatt Go's report
  datacollector,  ///< <prefix>/<meter>/<DATA_POINT> {"value","timestamp"}
  harmonised,     ///< <prefix>/<meter>/power/power_in {"value","timestamp"}
  amsreader,      ///< amsreader (AMS2MQTT): <prefix>/power, <prefix>/energy
};
/// "glow-zcl"; static text, also the reading sets' `profile`.
std::string_view name(Format format) noexcept;

/// What the configuration says of a key that a gateway's owner named himself; goes before every
/// rule of ours.
struct KeyRule {
  std::string key;    ///< compared without regard to case
  std::string topic;  ///< exact; empty: every topic
  Obis obis;          ///< of the quantity; `Obis{}`: leave the key out
  Unit unit = Unit::none;
  int scale = 0;  ///< power of ten that the value is to be multiplied with
};

struct DecoderOptions {
  std::vector<KeyRule> rules;
  DecodeObserver* observer = nullptr;  ///< offsets are those in the message
};

/// Meters in one message. Glow: two; Tasmota: one for each script object.
inline constexpr std::size_t meters_max = 16;
/// Gateways whose last multiplier, unit or meter id is remembered; beyond it the oldest is
/// forgotten.
inline constexpr std::size_t sources_max = 64;
/// Characters of a path ("report.energy.active.positive.total") or a text that become a register.
inline constexpr std::size_t text_size_max = 128;

/// One for each MQTT connection, or file. Remembers what gateways said before: see `sources_max`.
/// Allocates in its constructor alone.
class Decoder {
 public:
  explicit Decoder(DecoderOptions options = {});
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Takes one message in; `next` then gives its reading sets. `topic` is empty where there is
  /// none, and must live as long as they do; the payload need not. Refused: what `Document::parse`
  /// refuses, and `list_unknown` for an object of no known format.
  Result<void> read(std::string_view topic, Bytes payload) noexcept;

  /// The reading set of the message's next meter; false: there is none. Its views live until the
  /// next `read`. A set with `Medium::system` is of the gateway itself: no meter's readings.
  bool next(ReadingSet& out) noexcept;

  /// Of the last message that was read.
  Format format() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace meter::json
