// SPDX-License-Identifier: Apache-2.0
// The table of responders.
#include "tools/metersim/responder.hpp"

#include <algorithm>
#include <iterator>

namespace metersim {

std::span<const ResponderKind> responders() {
  static const std::vector<ResponderKind> table = [] {
    std::vector<ResponderKind> all = readout_meters();
    std::ranges::copy(mbus_slaves(), std::back_inserter(all));
    return all;
  }();
  return table;
}

const ResponderKind* find_responder(std::string_view name) {
  const auto table = responders();
  const auto found = std::ranges::find(table, name, &ResponderKind::name);
  return found == table.end() ? nullptr : &*found;
}

}  // namespace metersim
