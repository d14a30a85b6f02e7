// SPDX-License-Identifier: Apache-2.0
// A meter that pushes, an adapter with its delays and its counters, and a detector that listens.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "meter/line_detector.hpp"
#include "tests/libmeter/line/uart.hpp"

namespace meter::test {

/// What a driver counts of framing and parity errors.
enum class Counting : std::uint8_t {
  nothing,        ///< ch341, pl2303; cp210x but with INPCK, which is not set
  each,           ///< cdc_acm
  once_a_packet,  ///< ftdi_sio
};

/// The same push again and again.
struct Rendering {
  std::vector<std::byte> push;
  Sending sending;
  LineTime period{};  ///< from one push's start to the next one's
  AfterFramingError behaviour{};
  Counting counting{};
  LineFormat first;            ///< what the detector tries first
  LineTime latency{};          ///< for which the adapter keeps bytes back
  LineTime change_time{};      ///< until other settings are in force
  LineTime listening_since{};  ///< from a push's start; less than a period
};

struct Detection {
  struct Change {
    LineTime at{};
    LineFormat line;
  };
  std::optional<LineDetector::Settled> settled;
  LineTime after{};             ///< since listening began
  unsigned pushes = 0;          ///< begun since then, before it was settled
  std::vector<Change> changes;  ///< of settings; the first ones too
};

/// How long a push is on the line.
LineTime duration(Bytes push, const Sending& sending);
/// Listens until something is settled, for at most so many periods.
Detection detect(const Rendering& rendering, unsigned periods_max);
/// A receiver set like this receives what the meter sends, octet by octet.
bool receives_exactly(const Rendering& rendering, const LineFormat& format);

}  // namespace meter::test
