// SPDX-License-Identifier: Apache-2.0
// LineFormat: speed and character format of a serial line.
#pragma once

namespace meter {

/// Speed and character format of a serial line.
struct LineFormat {
  unsigned baud = 0;
  unsigned data_bits = 8;  ///< 7 or 8
  char parity = 'N';       ///< N, E, O
  friend bool operator==(const LineFormat&, const LineFormat&) = default;
};

}  // namespace meter
