// SPDX-License-Identifier: Apache-2.0
// Messages of M-Bus records: any octets, and records behind a header that a fuzzer would hardly
// find whole. Views stay inside, a refusal says where and leaves nothing behind.
#include "meter/mbus/application.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace {

using namespace meter;
using fuzz::require;
using test::Octets;

/// The first octet chooses the header; what follows stands behind it as it is.
Octets message_of(fuzz::Dealer& dealer) {
  constexpr const char* headers[] = {
      "",
      "08 01 78",
      "08 01 7A 55 00 00 00",
      "08 01 72 78 56 34 12 24 40 01 07 55 00 00 00",
      "08 01 72 78 56 34 12 A3 4C 01 02 55 00 00 00",        // SEC, electricity
      "08 01 76 78 56 34 12 24 40 01 04 55 00 00 00",        // high octet first
      "53 F0 5B 00 00 00 00 2D 4C 01 0E 55 00 00 00 2F 2F",  // AMIS
      "08 01 73",
  };
  Octets message = test::from_hex(headers[dealer.octet() % std::size(headers)]);
  test::append(message, dealer.rest());
  return message;
}

void check(const ReadingSet& out) {
  require(out.details.size() == out.readings.size(), "each reading has its detail");
  require(!out.profile.empty(), "a telegram has a name");
  volatile unsigned sum = 0;
  for (const ReadingDetail& detail : out.details)
    for (const char character : detail.label) sum = sum + static_cast<unsigned char>(character);
  for (const Reading& reading : out.readings) {
    if (reading.kind() == Reading::Kind::number) {
      const Decimal value = reading.value();
      require(value.exponent >= -Decimal::exponent_max && value.exponent <= Decimal::exponent_max,
              "the exponent is within its limits");
    } else {
      for (const std::byte octet : reading.octets()) sum = sum + u8(octet);
      (void)reading.date_time();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ReadingSet out;
  fuzz::Dealer dealer(data, size);
  const Octets message = message_of(dealer);
  out.clear();
  const auto read = mbus::decode(message, out, nullptr, 0);
  const bool more = mbus::more_records_follow(message);
  if (read) {
    check(out);
  } else {
    require(read.error().offset <= message.size(), "the fault's offset is inside");
    require(out.readings.empty() && out.details.empty(), "a refused message leaves nothing behind");
    require(!more || read.error().code == Errc::too_many_elements,
            "nothing follows a message whose records do not end");
  }
  return 0;
}
