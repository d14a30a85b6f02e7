// SPDX-License-Identifier: Apache-2.0
// Meter: a simulated meter of one family, from plausible values to the octets on its line.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/metersim/wire.hpp"

namespace metersim {

/// What a meter measures. Values are integers in the unit and power of ten named
/// behind them.
enum class Quantity : std::uint8_t {
  energy_import,
  energy_import_t1,
  energy_import_t2,  // Wh
  energy_export,
  energy_export_t1,
  energy_export_t2,  // Wh
  reactive_energy_import,
  reactive_energy_import_t1,
  reactive_energy_import_t2,  // varh
  reactive_energy_export,
  reactive_energy_export_t1,
  reactive_energy_export_t2,  // varh
  power_import,
  power_export,
  reactive_power_import,
  reactive_power_export,  // W, var
  voltage_l1,
  voltage_l2,
  voltage_l3,  // 0.1 V
  current_l1,
  current_l2,
  current_l3,    // 0.01 A
  power_factor,  // 0.001
};
inline constexpr std::size_t quantity_count = static_cast<std::size_t>(Quantity::power_factor) + 1;

/// One moment of a meter.
struct Values {
  Clock clock;
  std::string serial;               ///< number on the meter's plate
  std::string logical_device_name;  ///< 16 characters
  std::array<std::int64_t, quantity_count> measured{};

  std::int64_t& operator[](Quantity q) { return measured[static_cast<std::size_t>(q)]; }
  std::int64_t operator[](Quantity q) const { return measured[static_cast<std::size_t>(q)]; }
};

/// A named value as a telegram says it, in the canonical unit (kWh, W, V, A): exact decimal text
/// with the digits that the telegram carries.
struct Sent {
  std::string_view name;
  std::string value;
};

/// What a telegram says of a meter behind the one that sends it.
struct SentSubMeter {
  std::string meter;        ///< its id
  std::string_view medium;  ///< "gas"
  std::vector<Sent> readings;
};

/// A telegram and what it says, for whoever checks the reader at the other end.
struct Telegram {
  std::vector<Octets> frames;                       ///< as they go over the line
  std::uint64_t number = 0;                         ///< from 1
  std::optional<std::uint32_t> invocation_counter;  ///< of an encrypted telegram
  std::string meter;                ///< the id that the list carries, else the system title in hex
  std::optional<std::string> time;  ///< the meter's clock as Clock::text()
  std::vector<Sent> readings;
  std::vector<SentSubMeter> sub_meters;

  Octets octets() const;  ///< all frames
  /// {"number":…,"meter":…,"time":…,"invocation_counter":…,"readings":{…}} without a line end;
  /// `fault` is added as "fault" where it is not empty.
  std::string json(std::string_view fault = {}) const;
};

enum class Link : std::uint8_t { mbus, hdlc, raw, p1, sml, iec62056_21, json };

/// A meter family: what is built and how it is sent. The table is `families()`.
struct Family {
  std::string_view name;         ///< "kaifa-noe"
  std::string_view description;  ///< one line for people
  Link link;
  Security security;  ///< the keys are published test keys; control 0: sent in clear
  std::string_view serial;
  std::string_view logical_device_name;
  std::size_t mbus_length_max = 0xfa;
  /// Builds the notification body of telegram `number`, appends what it says to `telegram`.
  void (*build)(const Values& values, Octets& body, Telegram& telegram);
  /// Families that send no DataNotification: fills in all of `telegram` but its number. `security`
  /// null: in clear.
  void (*encode)(const Values& values, const Security* security, std::uint32_t invocation_counter,
                 Telegram& telegram) = nullptr;
  std::uint32_t invoke_id = 0;  ///< of every notification; 0: it counts
  bool in_blocks = true;        ///< HDLC: with block transfer
  /// Of a gateway that sends JSON; '+' stands for its name.
  std::string_view topic = {};
};
std::span<const Family> families();
/// By name, or null.
const Family* find_family(std::string_view name);

/// Encodes one telegram. `security` null: in clear.
Telegram encode(const Family& family, const Values& values, const Security* security,
                std::uint64_t number, std::uint32_t invocation_counter);

/// A household's values: deterministic for a seed, consistent among each other (energy is the
/// integral of power, P = U × I × power factor).
class Household {
 public:
  explicit Household(std::uint64_t seed) : random_(seed) {}
  /// Moves `values` on by that many seconds.
  void advance(double seconds, Values& values);
  /// The values that a meter starts with.
  void start(Values& values);

 private:
  double uniform(double low, double high);
  void accumulate(Quantity energy, Quantity tariff, double power, double seconds, Values& values);
  std::mt19937_64 random_;
  std::array<double, quantity_count> remainder_{};  ///< less than one Wh
  double appliance_w_ = 0;
  double appliance_left_s_ = 0;
};

struct MeterOptions {
  std::uint64_t seed = 1;
  double interval_s = 5;
  Clock start;
  std::optional<std::uint8_t> control;  ///< security control instead of the family's; 0: clear
  std::optional<Octets> key;
  std::optional<Octets> authentication_key;
  std::uint32_t invocation_counter = 1;  ///< of the first telegram
  std::uint32_t unit_number = 0;         ///< added to serial number and system title
};

/// One simulated meter.
class Meter {
 public:
  Meter(const Family& family, const MeterOptions& options);
  /// The next telegram: values moved on by one interval (not before the first), counter + 1.
  Telegram next();
  /// The next telegram, encrypted with a key that nobody has.
  Telegram next_with_wrong_key();
  bool encrypted() const { return security_.control != 0; }

 private:
  Telegram next(const Security& security);
  const Family& family_;
  Household household_;
  Values values_;
  Security security_;
  double interval_s_;
  double clock_s_;
  std::uint32_t invocation_counter_;
  std::uint64_t number_ = 0;
};

/// The published test keys of the Green Book's examples: 00 01 … 0F and D0 D1 … DF.
Octets test_key();
Octets test_authentication_key();

}  // namespace metersim
