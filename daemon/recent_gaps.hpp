// SPDX-License-Identifier: Apache-2.0
// RecentGaps: what the pauses between telegrams usually are.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <utility>

namespace smartmeterd {

/// The median of the last five: one outage, or one list between, does not move it.
class RecentGaps {
 public:
  using Duration = std::chrono::steady_clock::duration;
  void add(Duration gap) noexcept { gaps_[count_++ % gaps_.size()] = gap; }
  /// Zero while there is none.
  Duration median() const noexcept {
    const auto [sorted, count] = in_order();
    return count == 0 ? Duration{} : sorted[(count - 1) / 2];
  }
  /// The longest but one: neither does an outage move it, nor that telegrams come in pairs. Zero
  /// while there is none.
  Duration long_one() const noexcept {
    const auto [sorted, count] = in_order();
    if (count == 0) return {};
    return sorted[count < 3 ? count - 1 : count - 2];
  }

 private:
  std::pair<std::array<Duration, 5>, std::size_t> in_order() const noexcept {
    const std::size_t count = std::min(count_, gaps_.size());
    auto sorted = gaps_;
    std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count));
    return {sorted, count};
  }

  std::array<Duration, 5> gaps_{};
  std::size_t count_ = 0;
};

}  // namespace smartmeterd
