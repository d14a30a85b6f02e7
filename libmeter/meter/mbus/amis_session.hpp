// SPDX-License-Identifier: Apache-2.0
// AmisSession: acknowledges what a Siemens AMIS meter sends, and sends nothing else.
#pragma once

#include "meter/session.hpp"

namespace meter::mbus {

/// E5 for SND_NKE and for each SND_UD whose checksum is right, within 0.5 s of its last octet; a
/// damaged frame stays without an answer, and the meter sends it again. The operator forbids any
/// other octet on the line.
class AmisSession final : public Session {
 public:
  Action on_start() noexcept override { return {}; }
  Action on_frame(Bytes frame, Verdict verdict) noexcept override;
  Action on_timeout() noexcept override { return {}; }
};

}  // namespace meter::mbus
