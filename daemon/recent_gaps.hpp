// SPDX-License-Identifier: Apache-2.0
// RecentGaps: what the pauses between telegrams usually are.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace smartmeterd {

/// The median of the last five: one outage, or one list between, does not move it.
class RecentGaps {
 public:
  using Duration = std::chrono::steady_clock::duration;
  void add(Duration gap) noexcept { gaps_[count_++ % gaps_.size()] = gap; }
  /// Zero while there is none.
  Duration median() const noexcept {
    const std::size_t count = std::min(count_, gaps_.size());
    if (count == 0) return {};
    auto sorted = gaps_;
    std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count));
    return sorted[(count - 1) / 2];
  }

 private:
  std::array<Duration, 5> gaps_{};
  std::size_t count_ = 0;
};

}  // namespace smartmeterd
