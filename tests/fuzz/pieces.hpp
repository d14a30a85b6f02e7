// SPDX-License-Identifier: Apache-2.0
// Feeds a wire to a scanner in pieces, as a port delivers it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "meter/link/link_layer.hpp"

namespace meter::fuzz {

/// `step(received, at_end)` scans what is there and gives its Scan; what that consumed is dropped,
/// until it finds no frame. Every scan sees an exact copy on the heap.
template <class Step>
void in_pieces(Bytes wire, std::size_t piece_size, Step step) {
  std::vector<std::byte> buffer;
  const auto drain = [&](bool at_end) {
    for (;;) {
      const std::vector<std::byte> received = buffer;
      const link::Scan scan = step(Bytes(received), at_end);
      buffer.erase(buffer.begin(),
                   buffer.begin() + static_cast<std::ptrdiff_t>(scan.discard + scan.size));
      if (scan.size == 0) return;
    }
  };
  while (!wire.empty()) {
    const Bytes piece = wire.first(std::min(piece_size, wire.size()));
    buffer.insert(buffer.end(), piece.begin(), piece.end());
    wire = wire.subspan(piece.size());
    drain(false);
  }
  drain(true);
}

}  // namespace meter::fuzz
