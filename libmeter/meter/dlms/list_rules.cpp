// SPDX-License-Identifier: Apache-2.0
// The tables of vendor knowledge. A new list is a new row; libmeter/doc/cosem-lists.md tells how.
#include "meter/dlms/list_rules.hpp"

#include <array>

namespace meter::dlms {
namespace {

constexpr Scales none{};
// Whole units: W and Wh, as the E450 sends them in its list without descriptors.
constexpr Scales energy_and_power{.energy = 0, .power = 0};
constexpr Scales kaifa_sweden{.energy = 0, .power = 0, .voltage = -1, .current = -3};

constexpr std::array list_rule_table = std::to_array<ListRule>({
    // Netz NÖ, "Kundenschnittstelle" (operator's specification and its example telegram).
    {"evn-netz-noe", DataTag::structure, ListStart::date_time, ListForm::flat, "", "", none,
     "Kaifa MA110/MA309 and Sagemcom T210-D of EVN Netz NÖ"},
    // Salzburg Netz, TINETZ and Vorarlberg (VKW) specifications; captures of all three.
    {"kaifa-at", DataTag::structure, ListStart::code, ListForm::nested, "", "", none,
     "Kaifa MA120/MA309 of TINETZ, VKW and Salzburg Netz"},
    // Iskraemeco AM550 in Austria; capture.
    {"structure-of-entries", DataTag::structure, ListStart::entry, ListForm::nested, "", "", none,
     "Iskraemeco AM550, Kaifa MA309 (TINETZ)"},
    // Aidon HAN interface description; captures.
    {"array-of-entries", DataTag::array, ListStart::entry, ListForm::nested, "", "", none, "Aidon"},
    // Captures: 18 pairs, all 32 bit.
    {"kaifa-se", DataTag::structure, ListStart::code, ListForm::pairs, "KFM_", "", kaifa_sweden,
     "Kaifa MA304 in Sweden"},
    // E450 encrypted list; capture.
    {"landis-gyr-e450-pairs", DataTag::structure, ListStart::date_time, ListForm::pairs, "", "LGZ",
     energy_and_power, "Landis+Gyr E450"},
});

// RWB E450 manual and captures. The currents of the E570 depend on its transformers: not known.
constexpr Scales e450{.energy = 0, .power = 0, .voltage = 0, .current = -2, .power_factor = -3};
constexpr Scales e570{.energy = 0, .power = 0, .voltage = 0, .power_factor = -3};
constexpr Scales e360{.energy = 0, .power = 0, .voltage = -1, .current = -2, .power_factor = -3};

constexpr std::array push_object_rule_table = std::to_array<PushObjectRule>({
    {"landis-gyr-e570", 8, true, e570, "Landis+Gyr E570"},
    {"landis-gyr-e450", 8, false, e450, "Landis+Gyr E450"},
    {"landis-gyr-e450", 9, false, e450, "Landis+Gyr E450"},
    {"landis-gyr-e450", 11, false, e450, "Landis+Gyr E450"},
    {"landis-gyr-e360", 6, false, e360, "Landis+Gyr E360, Iskraemeco AM550 (Switzerland)"},
});

// Blue Book: class identifiers and attributes.
constexpr std::array pushed_attribute_table = std::to_array<PushedAttribute>({
    {1, 2, 0},   // Data: value
    {3, 2, 3},   // Register: value
    {4, 2, 3},   // Extended register: value
    {5, 2, 4},   // Demand register: current_average_value
    {8, 2, 0},   // Clock: time
    {70, 3, 0},  // Disconnect control: control_state
    {72, 9, 0},  // M-Bus client: device_type
});

}  // namespace

std::span<const ListRule> list_rules() noexcept {
  return list_rule_table;
}
std::span<const PushObjectRule> push_object_rules() noexcept {
  return push_object_rule_table;
}

const PushedAttribute* find_pushed_attribute(std::uint16_t class_id,
                                             std::int8_t attribute) noexcept {
  for (const PushedAttribute& row : pushed_attribute_table)
    if (row.class_id == class_id && row.attribute == attribute) return &row;
  return nullptr;
}

}  // namespace meter::dlms
