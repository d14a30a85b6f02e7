// SPDX-License-Identifier: Apache-2.0
// The table of sessions.
#include "meter/session.hpp"

#include "meter/iec62056/session.hpp"
#include "meter/mbus/amis_session.hpp"
#include "meter/mbus/master_session.hpp"

namespace meter {

std::unique_ptr<Session> make_session(Link link, const SessionOptions& options) {
  switch (link) {
    case Link::amis:
      return std::make_unique<mbus::AmisSession>();
    case Link::mbus_master:
      return std::make_unique<mbus::MasterSession>(options);
    case Link::iec62056_21:
      return std::make_unique<iec62056::ReadoutSession>(options);
    default:
      return nullptr;
  }
}

}  // namespace meter
