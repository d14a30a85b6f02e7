// SPDX-License-Identifier: Apache-2.0
// Reassembler: any sequence of payloads on any link; APDUs are not empty, within the limit and
// readable, and are made of no more octets than came in.
#include <algorithm>
#include <vector>

#include "meter/dlms/reassembler.hpp"
#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace meter;
  using fuzz::require;
  fuzz::Dealer dealer(data, size);
  dlms::Reassembler reassembler;
  std::size_t octets_in = 0;
  while (!dealer.empty()) {
    const unsigned control = dealer.octet();
    const Bytes dealt = dealer.piece(dealer.octet() | (control & 0xc0) << 2);
    // An exact copy on the heap: the address sanitizer sees a read behind it.
    const std::vector<std::byte> payload(dealt.begin(), dealt.end());
    constexpr Link links[] = {Link::mbus, Link::hdlc, Link::raw};
    octets_in += payload.size();
    const auto result = reassembler.take(links[control % 3], payload);
    if (!result) {
      require(result.error().offset <= payload.size(), "the fault's offset is inside");
    } else if (*result) {
      const Bytes apdu = **result;
      require(!apdu.empty(), "an APDU is not empty");
      require(apdu.size() <= std::max(dlms::Reassembler::apdu_size_max, payload.size()),
              "an APDU is within the limit");
      require(apdu.size() <= octets_in, "an APDU is made of what came in");
      volatile unsigned sum = 0;
      for (const std::byte octet : apdu) sum = sum + u8(octet);
    }
    if ((control & 0x3f) == 0x3f) {
      const bool was_pending = reassembler.pending();
      require(reassembler.reset() == was_pending, "reset says whether something was dropped");
      require(!reassembler.pending(), "reset drops everything");
    }
  }
  return 0;
}
