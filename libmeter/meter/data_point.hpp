// SPDX-License-Identifier: Apache-2.0
// DataPoint: the one value of a topic, for who reads and who writes such topics.
#pragma once

#include <span>
#include <string_view>

#include "meter/obis.hpp"
#include "meter/unit.hpp"

namespace meter {

/// The last segment of a topic `<prefix>/<meter>/…`, and what stands there.
struct DataPoint {
  std::string_view name;  ///< "ACTIVE_POWER_P"
  Obis obis;              ///< `Obis{}`: a quantity that has no code
  Unit unit;              ///< other: nothing tells it
};

/// smartmeter-datacollector: `<prefix>/<meter>/<name>`, in base units (smartmeter/meter_data.py,
/// where VA and VAh of reactive values stand for var and varh).
std::span<const DataPoint> datacollector_points() noexcept;

/// The Swiss plug-test of 2021: `<prefix>/<meter>/<group>/<name>`. Its power is the data
/// collector's; nothing says in which unit its energies are (Wh at one source, kWh at another).
std::span<const DataPoint> plug_test_points() noexcept;
/// "power" of "power_in".
std::string_view plug_test_group_of(std::string_view name) noexcept;
bool is_plug_test_group(std::string_view group) noexcept;

}  // namespace meter
