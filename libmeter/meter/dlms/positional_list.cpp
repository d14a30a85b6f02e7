// SPDX-License-Identifier: Apache-2.0
// Lists without codes: shape first, then what else a profile asks for.
#include "meter/dlms/positional_list.hpp"

namespace meter::dlms {
namespace {

/// The types and texts of a list.
bool has_shape(const DataIndex& index, const PositionalList& list) noexcept {
  std::size_t at = 1;
  for (const Position& position : list.positions) {
    if (!position.fits(index[at])) return false;
    at = index[at].next;
  }
  return true;
}

std::int64_t integer(const DataIndex& index, std::size_t position) noexcept {
  std::size_t at = 1;
  for (; position != 0; --position) at = index[at].next;
  const auto value = number(index[at]);
  return value ? value->mantissa : 0;
}

/// A meter cuts each register to whole units: a sum may be off by one for each addend.
bool adds_up(const DataIndex& index, const PositionSum& sum) noexcept {
  std::uint64_t rest = static_cast<std::uint64_t>(integer(index, sum.total));
  for (std::size_t i = 0; i < sum.count; ++i)
    rest -= static_cast<std::uint64_t>(integer(index, sum.addends[i]));
  return rest + sum.count <= std::uint64_t{2} * sum.count;
}

/// What keeps a list of the right shape from being it; empty: nothing.
std::string_view obstacle(const DataIndex& index, const PositionalList& list,
                          const NotificationFacts& facts) noexcept {
  if (!facts.title.starts_with(list.title)) return "the system title is another maker's";
  if (list.invoke_id && *list.invoke_id != facts.long_invoke_id)
    return "the long-invoke-id is another";
  if (list.needs_date_time && !facts.has_date_time) return "the notification has no date-time";
  if (list.needs_checksum && !facts.has_checksum)
    return "so short a list counts only where the link layer has a checksum";
  for (const PositionSum& sum : list.sums)
    if (!adds_up(index, sum)) return "the tariffs do not add up to the total";
  return {};
}

}  // namespace

PositionalMatch find_positional_list(const DataIndex& index,
                                     const NotificationFacts& facts) noexcept {
  PositionalMatch match;
  if (index[0].tag != DataTag::structure) return match;
  for (const PositionalList& list : positional_lists(index[0].size)) {
    if (!has_shape(index, list)) continue;
    match.nearest = &list;
    match.why = obstacle(index, list, facts);
    if (!match.why.empty()) continue;
    match.list = &list;
    break;
  }
  return match;
}

}  // namespace meter::dlms
