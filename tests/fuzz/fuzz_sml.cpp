// SPDX-License-Identifier: Apache-2.0
// SML files: any octets, and lists of any content under checksums that are right, which a fuzzer
// would hardly find. Texts stay inside, a refusal says where.
#include "meter/sml/file.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace {

using namespace meter;
using fuzz::require;
using test::Octets;

void append_message(Octets& file, unsigned tag, Bytes content) {
  Octets message = test::from_hex("76 05 00 00 00 01 62 00 62 00 72 63");
  message.push_back(static_cast<std::byte>(tag >> 8));
  message.push_back(static_cast<std::byte>(tag & 0xff));
  test::append(message, content);
  const unsigned crc = test::slow_crc_x25(message);
  message.push_back(std::byte{0x63});
  message.push_back(static_cast<std::byte>(crc & 0xff));
  message.push_back(static_cast<std::byte>(crc >> 8));
  message.push_back(std::byte{0});
  test::append(file, message);
}

/// The first octet of a piece chooses whether it is an open message, a list, or octets as they are.
Octets file_of(fuzz::Dealer& dealer) {
  Octets file;
  while (!dealer.empty()) {
    const unsigned kind = dealer.octet();
    const Bytes piece = dealer.piece(dealer.octet() | (kind & 0xc0) << 2);
    switch (kind % 4) {
      case 0:
        test::append(file, piece);
        break;
      case 1:
        append_message(file, 0x0101, piece);
        break;
      default:
        append_message(file, 0x0701, piece);
    }
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ReadingSet out;
  fuzz::Dealer dealer(data, size);
  const Octets file = file_of(dealer);
  out.clear();
  const auto read = sml::decode_file(file, out, nullptr, 0);
  if (!read) {
    require(read.error().offset <= file.size(), "the fault's offset is inside");
    return 0;
  }
  require(!out.readings.empty() && !out.profile.empty(), "a telegram has registers and a name");
  volatile unsigned sum = 0;
  for (const Reading& reading : out.readings) {
    require(reading.sub_meter() <= out.sub_meters.size(), "a reading has its meter");
    if (reading.kind() == Reading::Kind::number) {
      const Decimal value = reading.value();
      require(value.exponent >= -Decimal::exponent_max && value.exponent <= Decimal::exponent_max,
              "the exponent is within its limits");
    } else {
      for (const std::byte octet : reading.octets()) sum = sum + u8(octet);
    }
  }
  return 0;
}
