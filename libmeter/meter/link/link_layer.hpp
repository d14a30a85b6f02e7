// SPDX-License-Identifier: Apache-2.0
// LinkLayer, Scan: from received bytes to checked frames. The table names every link layer.
#pragma once

#include <cstddef>
#include <limits>
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

/// No limit to where a scan looks for the start of a frame.
inline constexpr std::size_t everywhere = std::numeric_limits<std::size_t>::max();

/// Examines no octet at `starts_before` or behind it as the start of a frame: who asks several
/// layers for the first frame needs no more of each than up to where another has found one. Where
/// `discard` is less and nothing was found, the start there waits for more bytes.
struct ScanFunction {
  Scan (*function)(Bytes received, std::size_t starts_before) noexcept = nullptr;
  Scan operator()(Bytes received, std::size_t starts_before = everywhere) const noexcept {
    return function(received, starts_before);
  }
};

/// A link layer is a pure function over the received bytes: no state, no allocation.
/// It never waits for more bytes than `frame_size_max`.
struct LinkLayer {
  Link link;
  std::size_t frame_size_max;  ///< bytes on the wire, delimiters included
  /// The checksum proves the frame, so that content can choose this layer (false: raw APDU).
  bool has_checksum;
  ScanFunction scan;
  /// The same where no more bytes follow, for a layer whose frames may then end otherwise; without
  /// a function: `scan` itself.
  ScanFunction scan_at_end{};
};

inline constexpr std::size_t layer_count = 8;
/// Every link layer, in the order in which automatic detection prefers them.
std::span<const LinkLayer, layer_count> link_layers() noexcept;
/// The layer of that name, or null.
const LinkLayer* find_link_layer(Link link) noexcept;

/// Like `layer.scan`, but no more bytes follow: the line fell silent or the input is at its end.
/// What still waits for bytes is refused (Errc::silence), and the bytes behind its start are
/// searched, because a damaged length may have claimed whole frames. Call it until size is 0: then
/// nothing is left and `discard` is everything, or up to `starts_before`. A raw DataNotification
/// has no length of its own: here, and only here, all the rest is taken as one (so not at silence:
/// at the end of input).
Scan scan_rest(const LinkLayer& layer, Bytes received,
               std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
