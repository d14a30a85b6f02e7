// SPDX-License-Identifier: Apache-2.0
// The table of sessions.
#include "meter/session.hpp"

#include "meter/mbus/amis_session.hpp"

namespace meter {

std::unique_ptr<Session> make_session(Link link, const SessionOptions& options) {
  (void)options;
  switch (link) {
    case Link::amis:
      return std::make_unique<mbus::AmisSession>();
    default:
      return nullptr;
  }
}

}  // namespace meter
