// SPDX-License-Identifier: Apache-2.0
// reseal: right checksums for a frame whose octets were changed in place.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/reading.hpp"

namespace meter {

/// `frame`: a frame of that link as `Scan` finds it (HDLC without its closing flag), some octets of
/// which were changed, none of its structure; `original`: the same before, which tells what
/// variants of checksums the meter uses. A message's or telegram's check that was wrong stays so.
/// Where a CRC of SML was sent without its leading zeros, the transaction id changes until that is
/// right again. False: no such checksum fits (P1: leading zeros left out), or the frame is none.
bool reseal(Link link, Bytes original, std::span<std::byte> frame);

/// Which octets of an SML frame's payload are content: four 1B are sent as eight (SML 1.03, 8.1).
std::vector<std::size_t> sml_content_offsets(Bytes payload);

}  // namespace meter
