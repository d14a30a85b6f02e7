// SPDX-License-Identifier: Apache-2.0
// The table of sessions.
#include "meter/session.hpp"

namespace meter {

std::unique_ptr<Session> make_session(Link link, const SessionOptions& options) {
  (void)options;
  switch (link) {
    default:
      return nullptr;
  }
}

}  // namespace meter
