// SPDX-License-Identifier: Apache-2.0
// Link layers: views stay inside, nothing is waited for beyond the longest frame, and the frames
// are the same however the bytes are cut. The first octet chooses how the input becomes a wire:
// as it is, or with frames whose checksums are right, which a fuzzer would hardly find.
#include <algorithm>

#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/pieces.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace {

using namespace meter;
using fuzz::require;
using test::Octets;

Octets wire_of(fuzz::Dealer& dealer) {
  if (dealer.octet() % 2 == 0) {
    const Bytes rest = dealer.rest();
    return {rest.begin(), rest.end()};
  }
  Octets wire;
  while (!dealer.empty()) {
    const unsigned kind = dealer.octet();
    const Bytes content = dealer.piece(dealer.octet() + (kind & 0x40) * 4);
    switch (kind % 4) {
      case 0:
        test::append(wire, content);
        break;
      case 1:
        if (content.size() >= 3 && content.size() <= 258)
          test::append(wire, test::mbus_frame(content));
        break;
      default: {
        const std::size_t header = std::min<std::size_t>(content.size(), 3 + kind / 4 % 4);
        test::append(
            wire, test::hdlc_frame(content.first(header), content.subspan(header), kind % 4 == 2));
      }
    }
  }
  return wire;
}

void check(const link::LinkLayer& layer, Bytes received, const link::Scan& scan, bool at_end) {
  require(scan.discard <= received.size(), "discard is inside");
  require(scan.size <= received.size() - scan.discard, "the frame is inside");
  require(scan.size <= layer.frame_size_max, "the frame is no longer than the longest");
  require(!scan.refused || scan.fault.offset < received.size(), "the fault's offset is inside");
  require(!scan.refused || scan.discard != 0, "what was refused is discarded");
  if (scan.size != 0) {
    const Bytes frame = received.subspan(scan.discard, scan.size);
    require(scan.payload.data() >= frame.data() &&
                scan.payload.data() + scan.payload.size() <= frame.data() + frame.size(),
            "the payload is inside the frame");
  } else {
    require(received.size() - scan.discard <= (at_end ? 0 : layer.frame_size_max),
            "no more is waited for than the longest frame has");
  }
}

/// Feeds pieces of these sizes, then the end; every scan sees an exact copy on the heap.
std::vector<Octets> frames_of(const link::LinkLayer& layer, Bytes wire, std::size_t piece_size) {
  std::vector<Octets> frames;
  fuzz::in_pieces(wire, piece_size, [&](Bytes received, bool at_end) {
    const link::Scan scan = at_end ? link::scan_rest(layer, received) : layer.scan(received);
    check(layer, received, scan, at_end);
    if (scan.size != 0) frames.emplace_back(scan.payload.begin(), scan.payload.end());
    return scan;
  });
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 20000) return 0;
  fuzz::Dealer dealer(data, size);
  const std::size_t piece_size = 1 + dealer.octet();
  const Octets wire = wire_of(dealer);
  for (const link::LinkLayer& layer : link::link_layers()) {
    const std::vector<Octets> whole = frames_of(layer, wire, wire.size() + 1);
    const std::vector<Octets> pieces = frames_of(layer, wire, piece_size);
    require(!layer.has_checksum || whole == pieces, "cuts do not matter");
  }
  return 0;
}
