// SPDX-License-Identifier: Apache-2.0
// LatencyHistogram: how long telegrams take from their last byte on, in fixed memory.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace smartmeterd {

/// What a histogram comes to; all zero while it is empty.
struct LatencySummary {
  std::uint64_t count = 0;
  /// The smallest and the largest are exact, median and 99th percentile (by the nearest rank)
  /// within 5 % or 32 ns.
  double min_s = 0, median_s = 0, p99_s = 0, max_s = 0;
};

/// Counts durations in log-linear buckets: each doubling is divided into `steps` of equal width.
/// Adding takes a few nanoseconds and never allocates.
class LatencyHistogram {
 public:
  using Duration = std::chrono::nanoseconds;
  /// Longer ones, about 69 s and more, are in one bucket: a quantile among them is the largest.
  static constexpr Duration overflow{std::int64_t{1} << 36};

  /// A negative one, which no steady clock gives, counts as zero.
  void add(Duration duration) noexcept;
  std::uint64_t count() const noexcept { return count_; }
  LatencySummary summary() const noexcept;

 private:
  /// The middle of a bucket is at most 1/32 away from what is in it.
  static constexpr unsigned steps = 16, steps_log2 = 4;
  /// Width of the buckets below `steps` of them: less than it takes to read the clock twice.
  static constexpr unsigned unit_log2 = 6;
  static constexpr unsigned overflow_log2 = 36;
  static constexpr std::size_t size = (overflow_log2 - unit_log2 - steps_log2 + 1) * steps + 1;

  static std::size_t index_of(std::uint64_t ns) noexcept;
  static double middle_of(std::size_t index) noexcept;
  double quantile_ns(double fraction) const noexcept;

  std::array<std::uint64_t, size> buckets_{};  ///< the last one: `overflow` and more
  std::uint64_t count_ = 0;
  std::uint64_t min_ns_ = 0, max_ns_ = 0;
};

/// Stages of a telegram of a port of this machine, each from its last byte: from when the read was
/// over that brought it.
struct Latencies {
  LatencyHistogram decoded;    ///< decoded, accepted, and merged into its meter
  LatencyHistogram signalled;  ///< its Reading signal is in the bus's socket
};

}  // namespace smartmeterd
