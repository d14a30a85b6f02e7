// SPDX-License-Identifier: Apache-2.0
// Shared: what the loop and the storage thread both touch is behind it.
#pragma once

#include <condition_variable>
#include <mutex>

namespace smartmeterd::history {

struct Shared {
  std::mutex mutex;  ///< held for a few instructions only: the loop takes it
  std::condition_variable wake;
};

}  // namespace smartmeterd::history
