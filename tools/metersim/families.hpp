// SPDX-License-Identifier: Apache-2.0
// What the encoders of the meter families share. A new kind of family is a file with a function
// here, and its name in families() of family_table.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/metersim/meter.hpp"

namespace metersim {

/// The canonical name.
std::string_view name(Quantity quantity);
/// The power of ten in which `Values` holds a quantity.
int resolution(Quantity quantity);
/// value × 10^exponent in plain notation, exponent ≤ 0.
std::string decimal_text(std::int64_t value, int exponent);
/// With the published test keys.
Security security(std::uint8_t control, const Title& title, unsigned ber_octets = 0);

/// Appends a value to an A-XDR list, in units of 10^scaler, and notes what was said. A list with
/// fewer digits than `Values` holds (E450: whole volts) cuts the rest off.
void append_value(const Values& values, Quantity quantity, std::uint8_t tag, int scaler,
                  Octets& body, Telegram& telegram);

/// The `size` lowest octets of an M-Bus integer (EN 13757-3 type B), low octet first.
void append_mbus_integer(Octets& out, std::int64_t value, unsigned size);
/// Minute, hour, day, month and year of the local time, as in types F and I of EN 13757-3.
void append_mbus_minute(Octets& out, const Clock& clock);

std::vector<Family> cosem_families();
std::vector<Family> list_families();
std::vector<Family> json_families();
std::vector<Family> p1_families();
std::vector<Family> sml_families();
std::vector<Family> amis_families();
std::vector<Family> mbus_families();

}  // namespace metersim
