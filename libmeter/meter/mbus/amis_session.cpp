// SPDX-License-Identifier: Apache-2.0
// One acknowledgement for each frame of the meter.
#include "meter/mbus/amis_session.hpp"

namespace meter::mbus {
namespace {

constexpr std::byte acknowledgement[] = {std::byte{0xe5}};  // EN 13757-2 5.4.1

}  // namespace

/// The link layer lets nothing else through than SND_NKE and SND_UD to this reader. What the
/// content was worth does not matter: it came over the line undamaged.
Session::Action AmisSession::on_frame(Bytes frame, Verdict) noexcept {
  if (frame.empty()) return {};
  return {.write = acknowledgement, .line = std::nullopt, .wake_after = std::nullopt};
}

}  // namespace meter::mbus
