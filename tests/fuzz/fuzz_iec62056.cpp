// SPDX-License-Identifier: Apache-2.0
// IEC 62056-21: any bytes through scanner, reassembler and decoder. The first octet says how the
// rest becomes a wire: as it is, or as a block with a right check, with parity or without; and
// whether each piece stands alone or one stream is cut. Registers lie inside their message, numbers
// can be printed, a refused message leaves nothing behind, and cuts do not matter.
#include <algorithm>
#include <vector>

#include "meter/dlms/reassembler.hpp"
#include "meter/iec62056/data_readout.hpp"
#include "meter/link/iec62056.hpp"
#include "tests/fuzz/pieces.hpp"
#include "tests/fuzz/readings.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace {

using namespace meter;
using fuzz::require;
using test::Octets;

void decode(Bytes whole, bool explain) {
  static ReadingSet set;
  set.clear();
  // An exact copy on the heap: the address sanitizer sees a read behind it.
  const Octets message(whole.begin(), whole.end());
  fuzz::Explained explained;
  const auto result =
      iec62056::decode_data_readout(message, set, explain ? &explained : nullptr, 0);
  if (!result) {
    require(result.error().offset <= message.size(), "the fault's offset is inside");
    return;
  }
  require(!set.readings.empty(), "a readout has registers");
  require(set.readings.size() == set.details.size(), "each register has its code as printed");
  require(!set.profile.empty(), "a readout has a profile");
  for (const Reading& reading : set.readings) fuzz::check(reading, message);
}

/// What comes of the wire, cut into pieces of this size.
std::vector<Octets> messages_of(Bytes wire, std::size_t piece_size) {
  std::vector<Octets> messages;
  dlms::Reassembler reassembler;
  fuzz::in_pieces(wire, piece_size, [&](Bytes received, bool at_end) {
    const link::Scan scan =
        at_end ? link::scan_iec62056_rest(received) : link::scan_iec62056(received);
    require(scan.discard + scan.size <= received.size(), "a frame is inside");
    require(scan.size != 0 || received.size() - scan.discard <= link::iec62056_frame_size_max,
            "no more is waited for than the longest frame has");
    if (scan.size != 0) {
      const auto taken = reassembler.take(Link::iec62056_21, scan.payload);
      if (taken && *taken) messages.emplace_back((*taken)->begin(), (*taken)->end());
    }
    return scan;
  });
  return messages;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 20000) return 0;
  fuzz::Dealer dealer(data, size);
  const unsigned how = dealer.octet();
  const std::size_t piece_size = 1 + (how >> 4);
  const Bytes rest = dealer.rest();
  decode(rest, (how & 8) != 0);
  Octets wire(rest.begin(), rest.end());
  if ((how & 1) != 0) wire = test::iec62056_block(rest, (how & 4) != 0 ? 0x04 : 0x03, how & 2);
  const std::vector<Octets> whole = messages_of(wire, wire.size() + 1);
  require(whole == messages_of(wire, piece_size), "cuts do not matter");
  for (const Octets& message : whole) decode(message, false);
  return 0;
}
