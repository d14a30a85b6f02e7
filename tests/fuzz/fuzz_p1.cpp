// SPDX-License-Identifier: Apache-2.0
// P1 telegrams: any text; every register lies inside it, every number can be printed, sub-meters
// exist, and a refused telegram leaves no reading behind. The first octet says whether the text
// comes from the link layer or was deciphered, and whether its checksum is to be made right.
#include <vector>

#include "meter/p1/telegram.hpp"
#include "tests/fuzz/readings.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace {

using namespace meter;
using fuzz::require;

void check(const Reading& reading, const ReadingSet& set, Bytes message) {
  require(reading.sub_meter() <= set.sub_meters.size(), "a sub-meter exists");
  require(reading.kind() != Reading::Kind::date_time || set.time_of(reading).has_value(),
          "a date-time is possible");
  fuzz::check(reading, message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ReadingSet set, part;
  fuzz::Dealer dealer(data, size);
  set.clear();
  const unsigned how = dealer.octet();
  const Bytes rest = dealer.rest();
  // An exact copy on the heap: the address sanitizer sees a read behind it.
  std::vector<std::byte> message(rest.begin(), rest.end());
  if ((how & 1) != 0) set.authentication = Authentication::verified;
  if ((how & 2) != 0) message = test::p1_frame(message);
  message.shrink_to_fit();
  set.standard_offset_min = 60;
  fuzz::Explained explained;
  const auto result = p1::decode_telegram(message, set, (how & 4) != 0 ? &explained : nullptr, 0);
  if (!result) {
    require(result.error().offset <= message.size(), "the fault's offset is inside");
    require(set.readings.empty() && set.sub_meters.empty() && !set.time && set.profile.empty(),
            "a refused telegram leaves nothing behind");
    return 0;
  }
  require(!set.readings.empty(), "a telegram has registers");
  require(!set.profile.empty(), "a telegram has a profile");
  for (const Reading& reading : set.readings) check(reading, set, message);
  for (std::size_t i = 0; i < set.sub_meters.size(); ++i) sub_meter_telegram(set, i, part);
  return 0;
}
