// SPDX-License-Identifier: Apache-2.0
// Time zones: the standard time of a place, for meters that only tell summer from winter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace smartmeterd {

/// Characters of a zone's name; the longest of the database has 32.
inline constexpr std::size_t zone_name_max = 64;

/// Whether it may be the IANA name of a zone: no path out of the zone database, nor a second way to
/// write the same name.
bool is_zone_name(std::string_view zone);
/// Whether the zone database of this machine has it.
bool has_zone(std::string_view zone);
/// A system may do without one.
bool has_zone_database();

/// Minutes from UTC to standard time, positive east of Greenwich (CET: 60), of an IANA zone; of the
/// system's where `zone` is empty. Nothing where the zone database does not say.
std::optional<std::int16_t> standard_offset_min(std::string_view zone);

/// What a decoder may take for the standard offset of a meter there: a system that runs on UTC says
/// nothing of where its meters stand.
std::optional<std::int16_t> meter_offset_min(std::string_view zone);

/// Of a zone in POSIX notation, "CET-1CEST,M3.5.0,M10.5.0/3" (XBD 8.3, TZ).
std::optional<std::int16_t> posix_offset_min(std::string_view text);

}  // namespace smartmeterd
