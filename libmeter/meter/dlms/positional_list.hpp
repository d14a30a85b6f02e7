// SPDX-License-Identifier: Apache-2.0
// Lists without codes: which one an index is, if any.
#pragma once

#include <cstdint>
#include <string_view>

#include "meter/dlms/axdr.hpp"
#include "meter/dlms/list_rules.hpp"

namespace meter::dlms {

/// What is known of a notification besides its body.
struct NotificationFacts {
  std::uint32_t long_invoke_id = 0;
  bool has_date_time = false;
  bool has_checksum = false;  ///< of the link layer
  std::string_view title;     ///< system title, 8 octets; empty when the telegram has none
};

struct PositionalMatch {
  const PositionalList* list = nullptr;     ///< everything of it fits
  const PositionalList* nearest = nullptr;  ///< the last one whose elements fit in number and type
  std::string_view why;                     ///< what keeps `nearest` from being it
};
PositionalMatch find_positional_list(const DataIndex& index,
                                     const NotificationFacts& facts) noexcept;

}  // namespace meter::dlms
