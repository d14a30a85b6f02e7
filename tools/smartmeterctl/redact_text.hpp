// SPDX-License-Identifier: Apache-2.0
// CaptureText: a capture's lines, its bytes apart from them, and both together again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/redact_ids.hpp"
#include "tools/smartmeterctl/redact_walk.hpp"

namespace smartmeterctl::redact {

struct Report;

class CaptureText {
 public:
  /// Throws tools::CaptureError.
  explicit CaptureText(std::string_view capture);
  const Recording& recording() const { return recording_; }
  /// With these octets, as many as before, in the lines of bytes; without the ids in the other
  /// lines, and without what names the port. Counts in `report`, and writes it into the capture.
  std::string with(const Octets& octets, const Pseudonyms& names, const Random& random,
                   Report& report) const;

 private:
  struct Line {
    std::string text;                ///< of a line of bytes: empty
    std::string word, value;         ///< of a directive
    std::size_t at = 0, octets = 0;  ///< of a line of bytes
  };
  std::vector<Line> lines_;
  Recording recording_;
};

}  // namespace smartmeterctl::redact
