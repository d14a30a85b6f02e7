// SPDX-License-Identifier: Apache-2.0
// LinkLayer, Scan: from received bytes to checked frames. The table names every link layer.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

namespace meter::link {

/// What a link layer found at the front of the received bytes.
/// First drop `discard` bytes; then `size` bytes are one frame, or size is 0: more bytes needed.
struct Scan {
  std::size_t discard = 0;  ///< bytes that can not start a frame
  std::size_t size = 0;     ///< the whole frame as sent, link header and trailer included
  /// What the frame carries, a view into the scanned bytes. mbus: C field to the last octet of
  /// user data; hdlc: frame format field to the last octet of information (without FCS and
  /// flags); raw: the APDU.
  Bytes payload;
  /// Why bytes were discarded: the first refused frame's cause, or line_noise. Only meaningful
  /// where `refused` is true; its offset counts from the start of the scanned bytes.
  Fault fault{Errc::line_noise, 0};
  bool refused = false;  ///< something that looked like a frame was refused
};

/// A link layer is a pure function over the received bytes: no state, no allocation.
/// It never waits for more bytes than `frame_size_max`.
struct LinkLayer {
  Link link;
  std::size_t frame_size_max;  ///< bytes on the wire, delimiters included
  /// The checksum proves the frame, so that content can choose this layer (false: raw APDU).
  bool has_checksum;
  Scan (*scan)(Bytes received) noexcept;
};

/// Every link layer, in the order in which automatic detection prefers them.
std::span<const LinkLayer> link_layers() noexcept;
/// The layer of that name, or null.
const LinkLayer* find_link_layer(Link link) noexcept;

}  // namespace meter::link
