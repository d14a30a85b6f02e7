// SPDX-License-Identifier: Apache-2.0
// DataNotification: any clear APDU; every register lies inside it and every number is a Decimal
// that can be printed; a refused one leaves nothing behind. The first octet says whether the
// telegram has a system title and whether its link layer has a checksum.
#include <vector>

#include "meter/dlms/data_notification.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace meter;
using fuzz::require;

struct Explained final : DecodeObserver {
  void stage(std::string_view, std::uint64_t, std::string_view text) override {
    require(!text.empty(), "an explanation says something");
  }
};

void check(const Reading& reading, Bytes apdu) {
  if (reading.kind() == Reading::Kind::number) {
    char text[Decimal::text_size_max];
    const Decimal value = reading.value();
    require(value.exponent >= -Decimal::exponent_max && value.exponent <= Decimal::exponent_max,
            "an exponent is within ±30");
    require(!value.to_text(text).empty(), "a number can be printed");
    return;
  }
  const Bytes octets = reading.octets();
  require(octets.empty() || (octets.data() >= apdu.data() &&
                             octets.data() + octets.size() <= apdu.data() + apdu.size()),
          "texts are views into the APDU");
}

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
  Explained explained;
  const auto result = dlms::decode_data_notification(apdu, set, &explained, 0);
  if (!result) {
    require(result.error().offset <= apdu.size(), "the fault's offset is inside");
    require(set.readings.empty() && set.meter_id.empty() && !set.time && set.profile.empty(),
            "a refused telegram leaves nothing behind");
    return 0;
  }
  require(!set.readings.empty(), "a telegram has registers");
  require(!set.profile.empty(), "a list has a name");
  for (const Reading& reading : set.readings) check(reading, apdu);
  return 0;
}
