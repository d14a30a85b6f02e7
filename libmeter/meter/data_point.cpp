// SPDX-License-Identifier: Apache-2.0
// DataPoint: the one value of a topic, for who reads and who writes such topics.
#include "meter/data_point.hpp"

#include <algorithm>
#include <iterator>

namespace meter {
namespace {

constexpr DataPoint datacollector[] = {
    {"ACTIVE_POWER_P", "1-0:1.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_P_L1", "1-0:21.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_P_L2", "1-0:41.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_P_L3", "1-0:61.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_N", "1-0:2.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_N_L1", "1-0:22.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_N_L2", "1-0:42.7.0"_obis, Unit::watt},
    {"ACTIVE_POWER_N_L3", "1-0:62.7.0"_obis, Unit::watt},
    {"REACTIVE_POWER_P", "1-0:3.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_P_L1", "1-0:23.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_P_L2", "1-0:43.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_P_L3", "1-0:63.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_N", "1-0:4.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_N_L1", "1-0:24.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_N_L2", "1-0:44.7.0"_obis, Unit::var},
    {"REACTIVE_POWER_N_L3", "1-0:64.7.0"_obis, Unit::var},
    {"CURRENT_L1", "1-0:31.7.0"_obis, Unit::ampere},
    {"CURRENT_L2", "1-0:51.7.0"_obis, Unit::ampere},
    {"CURRENT_L3", "1-0:71.7.0"_obis, Unit::ampere},
    {"VOLTAGE_L1", "1-0:32.7.0"_obis, Unit::volt},
    {"VOLTAGE_L2", "1-0:52.7.0"_obis, Unit::volt},
    {"VOLTAGE_L3", "1-0:72.7.0"_obis, Unit::volt},
    {"ACTIVE_ENERGY_P", "1-0:1.8.0"_obis, Unit::watt_hour},
    {"ACTIVE_ENERGY_P_T1", "1-0:1.8.1"_obis, Unit::watt_hour},
    {"ACTIVE_ENERGY_P_T2", "1-0:1.8.2"_obis, Unit::watt_hour},
    {"ACTIVE_ENERGY_N", "1-0:2.8.0"_obis, Unit::watt_hour},
    {"ACTIVE_ENERGY_N_T1", "1-0:2.8.1"_obis, Unit::watt_hour},
    {"ACTIVE_ENERGY_N_T2", "1-0:2.8.2"_obis, Unit::watt_hour},
    {"REACTIVE_ENERGY_P", "1-0:3.8.0"_obis, Unit::var_hour},
    {"REACTIVE_ENERGY_N", "1-0:4.8.0"_obis, Unit::var_hour},
    {"REACTIVE_ENERGY_Q1", "1-0:5.8.0"_obis, Unit::var_hour},
    {"REACTIVE_ENERGY_Q2", "1-0:6.8.0"_obis, Unit::var_hour},
    {"REACTIVE_ENERGY_Q3", "1-0:7.8.0"_obis, Unit::var_hour},
    {"REACTIVE_ENERGY_Q4", "1-0:8.8.0"_obis, Unit::var_hour},
    {"POWER_FACTOR", "1-0:13.7.0"_obis, Unit::none},
    {"NET_FREQUENCY", "1-0:14.7.0"_obis, Unit::hertz},
    // in radian, which no unit of ours is: registers alone
    {"ANGLE_UI_L1", {}, Unit::none},
    {"ANGLE_UI_L2", {}, Unit::none},
    {"ANGLE_UI_L3", {}, Unit::none},
};

constexpr DataPoint plug_test[] = {
    {"power_in", "1-0:1.7.0"_obis, Unit::watt},
    {"power_out", "1-0:2.7.0"_obis, Unit::watt},
    {"energy_in", "1-0:1.8.0"_obis, Unit::other},
    {"energy_out", "1-0:2.8.0"_obis, Unit::other},
    {"voltage_l1", "1-0:32.7.0"_obis, Unit::volt},
    {"voltage_l2", "1-0:52.7.0"_obis, Unit::volt},
    {"voltage_l3", "1-0:72.7.0"_obis, Unit::volt},
    {"current_l1", "1-0:31.7.0"_obis, Unit::ampere},
    {"current_l2", "1-0:51.7.0"_obis, Unit::ampere},
    {"current_l3", "1-0:71.7.0"_obis, Unit::ampere},
};
// Not only those of the rows: who publishes more than these is recognised all the same.
constexpr std::string_view plug_test_groups[] = {"power", "energy", "voltage", "current",
                                                 "reactive"};

}  // namespace

std::span<const DataPoint> datacollector_points() noexcept { return datacollector; }
std::span<const DataPoint> plug_test_points() noexcept { return plug_test; }

std::string_view plug_test_group_of(std::string_view name) noexcept {
  return name.substr(0, name.find('_'));
}

bool is_plug_test_group(std::string_view group) noexcept {
  return std::ranges::find(plug_test_groups, group) != std::end(plug_test_groups);
}

}  // namespace meter
