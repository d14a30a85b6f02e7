// SPDX-License-Identifier: Apache-2.0
// IEC 62056-21 on the line: identification lines, data blocks with block check character, commands.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"

namespace meter::link {

/// No length is sent. A readout with fifteen billing periods of an industrial meter has 10 kB.
inline constexpr std::size_t iec62056_frame_size_max = 15 * 1024;

/// The scan function of Link::iec62056_21; see `Scan` and libmeter/doc/iec62056-21.md. Characters
/// have seven bits; with even parity in the eighth (a 7E1 line read as 8N1) they are the same. A
/// frame is one of these, and its payload keeps the eighth bit:
///   identification  `/XXXZ…`, without CR LF; not proven
///   data block      STX data ETX (or EOT: more blocks follow), proven by the block check
///                   character behind it and by the form of its data lines
///   command         SOH … ETX, an echo of what was written or a meter's answer; not proven
///   bare data lines up to `!` CR LF (meters that send no STX); not proven
/// One flipped bit, or one changed character, never makes another block, by check and lines;
/// except, once in 128 such accidents, a character of a code that becomes STX or a first line's end
/// that becomes ETX (without parity). A torn block without an identification behind it may cost
/// the next one as rarely. Two changed characters are found in 127 of 128 blocks.
/// Requests `/?…!`, acknowledgements and NUL characters (wake-up) are passed over.
Scan scan_iec62056(Bytes received, std::size_t starts_before = everywhere) noexcept;

/// The same where no more bytes follow; see `scan_rest`.
Scan scan_iec62056_rest(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
