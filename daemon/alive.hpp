// SPDX-License-Identifier: Apache-2.0
// Alive: whether a daemon elsewhere still turns its loop, where no systemd watches it.
#pragma once

#include <string>

namespace smartmeterd {

/// Takes the place of the supervisor that NOTIFY_SOCKET names, and waits until the daemon with the
/// same environment says WATCHDOG=1, WATCHDOG_USEC at most. Where another one listens, it waits for
/// its turn. Leaves no file. Empty, or why there is no sign of life.
std::string wait_for_sign_of_life();

}  // namespace smartmeterd
