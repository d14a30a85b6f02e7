// SPDX-License-Identifier: Apache-2.0
// Log-linear buckets and what is read out of them.
#include "daemon/latency.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace smartmeterd {
namespace {

constexpr double seconds_per_ns = 1e-9;

}  // namespace

std::size_t LatencyHistogram::index_of(std::uint64_t ns) noexcept {
  const std::uint64_t units = ns >> unit_log2;
  if (units < steps) return static_cast<std::size_t>(units);
  // The leading one says which doubling, the bits behind it which of its steps.
  const auto doubling = static_cast<unsigned>(std::bit_width(units)) - 1 - steps_log2;
  const auto step = static_cast<std::size_t>(units >> doubling);
  return std::min<std::size_t>(doubling * steps + step, size - 1);
}

double LatencyHistogram::middle_of(std::size_t index) noexcept {
  const std::size_t doubling = index < steps ? 0 : index / steps - 1;
  const std::size_t step = index - doubling * steps;
  return std::ldexp(static_cast<double>(step) + 0.5, static_cast<int>(doubling + unit_log2));
}

void LatencyHistogram::add(Duration duration) noexcept {
  const auto ns = static_cast<std::uint64_t>(std::max(duration, Duration{}).count());
  min_ns_ = count_ == 0 ? ns : std::min(min_ns_, ns);
  max_ns_ = std::max(max_ns_, ns);
  ++buckets_[index_of(ns)];
  ++count_;
}

double LatencyHistogram::quantile_ns(double fraction) const noexcept {
  const auto rank = static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i + 1 < size; ++i) {
    seen += buckets_[i];
    if (seen >= rank)
      return std::clamp(middle_of(i), static_cast<double>(min_ns_), static_cast<double>(max_ns_));
  }
  return static_cast<double>(max_ns_);
}

LatencySummary LatencyHistogram::summary() const noexcept {
  if (count_ == 0) return {};
  return {.count = count_,
          .min_s = static_cast<double>(min_ns_) * seconds_per_ns,
          .median_s = quantile_ns(0.5) * seconds_per_ns,
          .p99_s = quantile_ns(0.99) * seconds_per_ns,
          .max_s = static_cast<double>(max_ns_) * seconds_per_ns};
}

}  // namespace smartmeterd
