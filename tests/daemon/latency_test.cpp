// SPDX-License-Identifier: Apache-2.0
// What the histogram says of samples whose quantiles are known exactly.
#include "daemon/latency.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using Duration = LatencyHistogram::Duration;

constexpr double tolerance = 0.05;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// The sample of this rank, the nearest one.
double exact(std::vector<Duration> samples, double fraction) {
  std::ranges::sort(samples);
  const auto rank = static_cast<std::size_t>(std::ceil(fraction * double(samples.size())));
  return seconds(samples[rank - 1]);
}

LatencyHistogram histogram_of(const std::vector<Duration>& samples) {
  LatencyHistogram histogram;
  for (const Duration sample : samples) histogram.add(sample);
  return histogram;
}

void expect_close(const LatencySummary& summary, const std::vector<Duration>& samples) {
  EXPECT_EQ(summary.count, samples.size());
  EXPECT_DOUBLE_EQ(summary.min_s, seconds(std::ranges::min(samples)));
  EXPECT_DOUBLE_EQ(summary.max_s, seconds(std::ranges::max(samples)));
  const double median = exact(samples, 0.5), p99 = exact(samples, 0.99);
  EXPECT_NEAR(summary.median_s, median, tolerance * median);
  EXPECT_NEAR(summary.p99_s, p99, tolerance * p99);
  EXPECT_LE(summary.min_s, summary.median_s);
  EXPECT_LE(summary.median_s, summary.p99_s);
  EXPECT_LE(summary.p99_s, summary.max_s);
}

TEST(Latency, EmptyIsAllZero) {
  const LatencySummary summary = LatencyHistogram().summary();
  EXPECT_EQ(summary.count, 0u);
  EXPECT_EQ(summary.min_s, 0);
  EXPECT_EQ(summary.median_s, 0);
  EXPECT_EQ(summary.p99_s, 0);
  EXPECT_EQ(summary.max_s, 0);
}

TEST(Latency, OneSampleIsEveryQuantile) {
  for (const Duration only :
       {Duration(0ns), Duration(1ns), Duration(63ns), Duration(64ns), Duration(1023ns),
        Duration(1024ns), Duration(87654321ns), LatencyHistogram::overflow - 1ns,
        LatencyHistogram::overflow, Duration(24h)}) {
    const LatencySummary summary = histogram_of({only}).summary();
    EXPECT_EQ(summary.count, 1u);
    EXPECT_DOUBLE_EQ(summary.min_s, seconds(only));
    EXPECT_DOUBLE_EQ(summary.median_s, seconds(only));
    EXPECT_DOUBLE_EQ(summary.p99_s, seconds(only));
    EXPECT_DOUBLE_EQ(summary.max_s, seconds(only));
  }
}

TEST(Latency, NegativeCountsAsZero) {
  const LatencySummary summary = histogram_of({-5ns}).summary();
  EXPECT_EQ(summary.count, 1u);
  EXPECT_EQ(summary.min_s, 0);
  EXPECT_EQ(summary.max_s, 0);
}

TEST(Latency, QuantilesOfManyDistributions) {
  std::mt19937_64 random(20261127);
  std::uniform_real_distribution<double> uniform_us(1, 5000), uniform_log(0, 7);
  std::exponential_distribution<double> exponential(1.0 / 300);
  std::lognormal_distribution<double> lognormal(5, 1.5);
  std::bernoulli_distribution is_slow(0.03);
  const std::vector<std::function<double()>> microseconds = {
      [&] { return uniform_us(random); },
      [&] { return 2 + exponential(random); },
      [&] { return 1.5 + lognormal(random); },
      [&] { return 5 * std::pow(10, uniform_log(random)); },  // up to the overflow
      [&] { return is_slow(random) ? 40'000 + uniform_us(random) : 80.0; },
  };
  for (const auto& sample_us : microseconds)
    for (const std::size_t count : {2u, 99u, 100u, 101u, 20'000u}) {
      std::vector<Duration> samples(count);
      for (Duration& sample : samples)
        sample = Duration(static_cast<std::int64_t>(1000 * sample_us()));
      SCOPED_TRACE(count);
      expect_close(histogram_of(samples).summary(), samples);
    }
}

/// Each duration, alone between two extremes, is the median.
TEST(Latency, EveryOrderOfMagnitudeIsWithinTheTolerance) {
  for (double ns = 1000; ns < seconds(LatencyHistogram::overflow) * 1e9; ns *= 1.003) {
    const Duration sample(static_cast<std::int64_t>(ns));
    const LatencySummary summary = histogram_of({0ns, sample, 24h}).summary();
    ASSERT_NEAR(summary.median_s, seconds(sample), tolerance * seconds(sample));
  }
}

TEST(Latency, QuantileInTheOverflowIsTheLargest) {
  const LatencySummary summary = histogram_of({1ms, 100s, 200s}).summary();
  EXPECT_DOUBLE_EQ(summary.min_s, 0.001);
  EXPECT_DOUBLE_EQ(summary.median_s, 200);
  EXPECT_DOUBLE_EQ(summary.p99_s, 200);
  EXPECT_DOUBLE_EQ(summary.max_s, 200);
}

}  // namespace
}  // namespace smartmeterd
