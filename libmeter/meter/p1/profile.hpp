// SPDX-License-Identifier: Apache-2.0
// Profile: which country's or operator's telegram it is, chosen by its content.
#pragma once

#include <string_view>

namespace meter::p1 {

/// What the lines of a telegram show of its kind.
struct Traits {
  std::string_view identification;  ///< behind '/'
  std::string_view version;         ///< value of 1-3:0.2.8
  bool checked = false;             ///< it has a CRC
  bool belgian_version = false;     ///< 0-0:96.1.4
  bool own_codes = false;           ///< abstract codes (A = 0): a DSMR telegram, no mode D push
  bool clock = false;               ///< 0-0:1.0.0
  bool two_line_gas = false;        ///< 0-n:24.3.0
  bool channel_1 = false;           ///< 1-1:…
  bool snapshot = false;            ///< 0-0:98.1.0 that begins with a date
  bool tariff_11 = false;           ///< 1-0:1.8.11
};

struct Profile {
  std::string_view name;
  std::string_view why;  ///< for people
  bool (*matches)(const Traits& traits) noexcept;
};
/// The first row that matches; the last one always does.
const Profile& find_profile(const Traits& traits) noexcept;

/// What a push of mode D is called; it is no P1 telegram.
inline constexpr std::string_view mode_d_profile = "mode-d";

}  // namespace meter::p1
