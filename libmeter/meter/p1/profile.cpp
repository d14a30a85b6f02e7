// SPDX-License-Identifier: Apache-2.0
// The table of P1 profiles.
#include "meter/p1/profile.hpp"

namespace meter::p1 {
namespace {

/// National documents first, because most of them carry the version line of DSMR too.
constexpr Profile profiles[] = {
    {"emucs", "0-0:96.1.4 is the version of eMUCS (Belgium)",
     [](const Traits& t) noexcept { return t.belgian_version; }},
    {"smarty", "the identification begins as those of Luxembourg do",
     [](const Traits& t) noexcept { return t.identification.starts_with("Lux"); }},
    {"at-steiermark", "the identification begins as those of Energienetze Steiermark do",
     [](const Traits& t) noexcept { return t.identification.starts_with("EST"); }},
    {"eso-lt", "the identification begins as those of ESO (Lithuania) do",
     [](const Traits& t) noexcept { return t.identification.starts_with("ESO"); }},
    {"nes-dk", "the identification begins as those of NES do",
     [](const Traits& t) noexcept { return t.identification.starts_with("NES"); }},
    {"warmtelink-nl", "the identification begins as those of a Warmtelink do",
     [](const Traits& t) noexcept { return t.identification.starts_with("NWA"); }},
    {"p1-hu", "0-0:98.1.0 is the month's snapshot of Hungary",
     [](const Traits& t) noexcept { return t.snapshot; }},
    {"p1-il", "1-0:1.8.11 is a tariff of Israel",
     [](const Traits& t) noexcept { return t.tariff_11; }},
    {"p1-ch", "codes of channel 1, as in Switzerland",
     [](const Traits& t) noexcept { return t.channel_1; }},
    {"dsmr-5", "1-3:0.2.8 says version 5",
     [](const Traits& t) noexcept { return t.version.starts_with('5'); }},
    {"dsmr-4", "1-3:0.2.8 says version 4",
     [](const Traits& t) noexcept { return t.version.starts_with('4'); }},
    {mode_d_profile, "no CRC and none of DSMR's own codes: a push of IEC 62056-21 mode D",
     [](const Traits& t) noexcept { return !t.checked && !t.own_codes && t.version.empty(); }},
    {"dsmr-2.2", "0-n:24.3.0 carries the reading in a second line, or there is no clock and no CRC",
     [](const Traits& t) noexcept { return t.two_line_gas || (!t.checked && !t.clock); }},
    {"h1-se", "a clock and no version: the Swedish recommendation H1",
     [](const Traits& t) noexcept { return t.clock && t.version.empty(); }},
    {"p1", "no known document's marks", [](const Traits&) noexcept { return true; }},
};

}  // namespace

const Profile& find_profile(const Traits& traits) noexcept {
  const Profile* profile = profiles;
  while (!profile->matches(traits)) ++profile;
  return *profile;
}

}  // namespace meter::p1
