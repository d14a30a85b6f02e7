// SPDX-License-Identifier: Apache-2.0
// The table of link layers.
#include "meter/link/link_layer.hpp"

#include <algorithm>
#include <array>

#include "meter/link/amis.hpp"
#include "meter/link/hdlc.hpp"
#include "meter/link/iec62056.hpp"
#include "meter/link/mbus.hpp"
#include "meter/link/p1.hpp"
#include "meter/link/raw.hpp"
#include "meter/link/search.hpp"
#include "meter/link/sml.hpp"

namespace meter::link {
namespace {

/// The stronger proof first: two CRCs, one, a sum with delimiters, seven bits with a grammar,
/// nothing.
constexpr std::array<LinkLayer, layer_count> layers = {
    LinkLayer{Link::hdlc, hdlc_frame_size_max, true, scan_hdlc},
    LinkLayer{Link::sml, sml_frame_size_max, true, scan_sml},
    LinkLayer{Link::p1, p1_frame_size_max, true, scan_p1, scan_p1_rest},
    LinkLayer{Link::amis, amis_frame_size_max, true, scan_amis},
    LinkLayer{Link::mbus, mbus_frame_size_max, true, scan_mbus},
    LinkLayer{Link::iec62056_21, iec62056_frame_size_max, true, scan_iec62056,
              scan_iec62056_rest},
    // A single E5 is a frame there: it is configured, and mbus reads the same telegrams.
    LinkLayer{Link::mbus_master, mbus_frame_size_max, false, scan_mbus_master},
    LinkLayer{Link::raw, raw_frame_size_max, false, scan_raw, scan_raw_rest},
};

}  // namespace

std::span<const LinkLayer, layer_count> link_layers() noexcept {
  return layers;
}

const LinkLayer* find_link_layer(Link link) noexcept {
  const auto* found = std::ranges::find(layers, link, &LinkLayer::link);
  return found != layers.end() ? found : nullptr;
}

Scan scan_rest(const LinkLayer& layer, Bytes received, std::size_t starts_before) noexcept {
  const auto scan = layer.scan_at_end.function != nullptr ? layer.scan_at_end : layer.scan;
  Scan result;
  while (result.discard < starts_before) {
    go_on(result, scan(received.subspan(result.discard), starts_before - result.discard));
    if (result.size != 0 || result.discard == received.size()) break;
    if (result.discard >= starts_before) break;
    // A start octet alone (HDLC's closing flag) is no half-received frame.
    if (received.size() - result.discard > 1) note_refusal(result, Errc::silence, result.discard);
    ++result.discard;
  }
  return result;
}

}  // namespace meter::link
