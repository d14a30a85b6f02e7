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
  /// The frame as sent, link header and trailer included. hdlc: without the closing flag, which
  /// may be the next frame's opening flag and stays in the received bytes.
  std::size_t size = 0;
  /// What the frame carries, a view into the scanned bytes. mbus: C field to the last octet of
  /// user data; hdlc: frame format field to the last octet of information (without FCS and
  /// flags); sml: the messages, escapes still doubled, without fill; raw: the APDU;
  /// p1: see p1.hpp.
  Bytes payload{};
  /// Why bytes were discarded: the first refused frame's cause, or line_noise. Only meaningful
  /// where `refused` is true; its offset counts from the start of the scanned bytes.
  Fault fault{Errc::line_noise, 0};
  /// Something that looked like a frame was refused, or bytes belong to no frame (line_noise).
  /// HDLC's flags between frames are neither.
  bool refused = false;
  /// The frame's own checksum proves it. False for a frame that only its structure vouches for (P1
  /// without CRC, an encrypted P1 telegram before its tag was checked): automatic detection
  /// believes such a layer once the content was decoded.
  bool proven = true;
};

/// A link layer is a pure function over the received bytes: no state, no allocation.
/// It never waits for more bytes than `frame_size_max`.
struct LinkLayer {
  Link link;
  std::size_t frame_size_max;  ///< bytes on the wire, delimiters included
  /// The checksum proves the frame, so that content can choose this layer (false: raw APDU).
  bool has_checksum;
  Scan (*scan)(Bytes received) noexcept;
  /// The same where no more bytes follow, for a layer whose frames may then end otherwise; null:
  /// `scan` itself.
  Scan (*scan_at_end)(Bytes received) noexcept = nullptr;
};

/// Every link layer, in the order in which automatic detection prefers them.
std::span<const LinkLayer> link_layers() noexcept;
/// The layer of that name, or null.
const LinkLayer* find_link_layer(Link link) noexcept;

/// Like `layer.scan`, but no more bytes follow: the line fell silent or the input is at its end.
/// What still waits for bytes is refused (Errc::silence), and the bytes behind its start are
/// searched, because a damaged length may have claimed whole frames. Call it until size is 0: then
/// nothing is left and `discard` is everything. A raw DataNotification has no length of its own:
/// here, and only here, all the rest is taken as one (so not at silence: at the end of input).
Scan scan_rest(const LinkLayer& layer, Bytes received) noexcept;

}  // namespace meter::link
