// SPDX-License-Identifier: Apache-2.0
// Damaged telegrams of every family: within the guarantee of a check nothing wrong comes out. The
// damage is the same in each run; mutation-campaign does the same with a million of each.
#include "tests/libmeter/mutation.hpp"

#include <gtest/gtest.h>

namespace meter::test {
namespace {

constexpr std::uint64_t mutation_count = 20'000;

class Mutation : public testing::TestWithParam<std::size_t> {};

TEST_P(Mutation, never_yields_a_wrong_reading) {
  const Check& check = checks()[GetParam()];
  const Tally tally = attack(check, mutation_count, 1, false);
  EXPECT_EQ(tally.mutations, mutation_count);
  EXPECT_EQ(tally.wrong, 0u) << check.name << ": " << tally.first_wrong;
}

INSTANTIATE_TEST_SUITE_P(Checks, Mutation, testing::Range(std::size_t{0}, checks().size()));

}  // namespace
}  // namespace meter::test
