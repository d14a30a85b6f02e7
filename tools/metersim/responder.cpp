// SPDX-License-Identifier: Apache-2.0
// The table of responders.
#include "tools/metersim/responder.hpp"

#include <algorithm>

namespace metersim {

std::span<const ResponderKind> responders() {
  static const std::vector<ResponderKind> table = readout_meters();
  return table;
}

const ResponderKind* find_responder(std::string_view name) {
  const auto table = responders();
  const auto found = std::ranges::find(table, name, &ResponderKind::name);
  return found == table.end() ? nullptr : &*found;
}

}  // namespace metersim
