// SPDX-License-Identifier: Apache-2.0
// DataNotification: any clear APDU; every register lies inside it and every number is a Decimal
// that can be printed; a refused one leaves nothing behind. The first octet says whether the
// telegram has a system title and whether its link layer has a checksum.
#include <vector>

#include "meter/dlms/data_notification.hpp"
#include "tests/fuzz/readings.hpp"

namespace {

using namespace meter;
using fuzz::require;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ReadingSet set;
  fuzz::Dealer dealer(data, size);
  set.clear();
  const unsigned facts = dealer.octet();
  set.link = (facts & 2) != 0 ? Link::hdlc : Link::raw;
  if ((facts & 1) != 0)
    set.system_title = SystemTitle{std::byte{'L'}, std::byte{'G'}, std::byte{'Z'}};
  const Bytes rest = dealer.rest();
  // An exact copy on the heap: the address sanitizer sees a read behind it.
  const std::vector<std::byte> apdu(rest.begin(), rest.end());
  fuzz::Explained explained;
  const auto result = dlms::decode_data_notification(apdu, set, &explained, 0);
  if (!result) {
    require(result.error().offset <= apdu.size(), "the fault's offset is inside");
    require(set.readings.empty() && set.meter_id.empty() && !set.time && set.profile.empty(),
            "a refused telegram leaves nothing behind");
    return 0;
  }
  require(!set.readings.empty(), "a telegram has registers");
  require(!set.profile.empty(), "a list has a name");
  for (const Reading& reading : set.readings) fuzz::check(reading, apdu);
  return 0;
}
