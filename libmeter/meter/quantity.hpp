// SPDX-License-Identifier: Apache-2.0
// Quantity: the one table of names, units and classes; harmonize(): registers → named readings.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/decimal.hpp"
#include "meter/base/inline_vector.hpp"
#include "meter/date_time.hpp"
#include "meter/obis.hpp"
#include "meter/reading.hpp"
#include "meter/unit.hpp"

namespace meter {

/// One canonical quantity. Name and unit are the same on D-Bus, MQTT and the command line.
struct Quantity {
  std::string_view name;          ///< "energy_import"
  /// The code it is known by; every channel B matches. Rows may share a code and differ in what
  /// the unit measures (24.2.1: volume in m³, energy in kWh).
  Obis obis;
  Unit unit;                      ///< canonical unit of the published value; none for text
  std::string_view dbus_property; ///< property of org.smartmeterd1.Electricity / Volume, or ""
  std::string_view device_class;  ///< Home Assistant device_class, or ""
  std::string_view state_class;   ///< Home Assistant state_class, or ""
  /// number: a reading in `unit`; text: a reading that is text; identity: a register only
  /// (serial numbers, clocks), never a reading; time: a reading that is a date-time.
  enum class Use : std::uint8_t { number, text, identity, time } use = Use::number;
};
/// The built-in table.
std::span<const Quantity> quantities() noexcept;
/// By canonical name, or null.
const Quantity* find_quantity(std::string_view name) noexcept;

/// The built-in table with the user's changes (`[quantities]`): immutable after construction.
class QuantityMap {
 public:
  struct Change {
    Obis obis;
    std::string name;  ///< empty: leave the quantity out
    std::optional<Unit> unit;
    std::optional<int> scale;  ///< power of ten to multiply with, for registers without a scaler
  };
  QuantityMap();
  explicit QuantityMap(std::vector<Change> changes);
  ~QuantityMap();
  QuantityMap(QuantityMap&&) noexcept;
  QuantityMap& operator=(QuantityMap&&) noexcept;

  struct Match {
    std::string_view name;     ///< empty: left out by the user, or no named quantity
    Unit unit = Unit::none;
    const Quantity* builtin = nullptr;
    std::optional<int> scale;
  };
  /// What a register of this code is called. Allocation-free.
  Match find(const Obis& obis) const noexcept;
  /// Of the rows with its code, the one that fits its kind and unit; else the first of them.
  Match find(const Reading& reading) const noexcept;
  /// The code of what a reading of this name measures, whatever the user calls it; of a quantity
  /// with several codes the first one. `Obis{}`: nothing of that name. Allocation-free.
  Obis code_of(std::string_view name) const noexcept;
  /// True where a code is called so: readings of that name may come.
  bool gives(std::string_view name) const noexcept;

 private:
  Match changed(const Obis& obis, const Quantity* row) const noexcept;
  struct Table;
  std::unique_ptr<Table> table_;
};

/// A named value in its canonical unit.
struct NamedReading {
  std::string_view name;       ///< lives as long as the QuantityMap
  Decimal value;               ///< is_text and is_time false
  std::string_view text;       ///< is_text true; lives as long as the ReadingSet's views
  Unit unit = Unit::none;
  bool is_text = false;
  bool is_time = false;
  bool derived = false;
  DateTime time{};             ///< is_time true
};
using NamedReadings = InlineVector<NamedReading, ReadingSet::readings_max + 8>;

/// The value in another unit; nothing when the units measure different things. Exact, but for
/// joule in kWh: three decimals, half even.
std::optional<Decimal> convert(Decimal value, Unit from, Unit to) noexcept;

/// The named readings of one telegram, in canonical units, and what follows from them
/// (power_net, totals from tariffs), marked derived. Registers with scale_unknown, kinds other
/// than number, and quantities in a unit that does not fit are left out; so are the values of
/// meters behind this one. Joule become kWh, rounded half even to three decimals and marked
/// derived: the only conversion that is not exact. Allocation-free.
void harmonize(const ReadingSet& telegram, const QuantityMap& map, NamedReadings& out) noexcept;

/// "obis_1_0_128_7_0", with "_fNN" where F is not 255: the name of a code that has none.
struct UnknownName {
  explicit UnknownName(const Obis& obis) noexcept;
  std::string_view view() const noexcept { return {text, size}; }
  char text[40];
  std::size_t size;
};

/// Lower case, everything but [a-z0-9-] turned into '-': topics, file names.
std::string slug(std::string_view text);

}  // namespace meter
