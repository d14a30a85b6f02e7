// SPDX-License-Identifier: Apache-2.0
// mutation-campaign [COUNT [SEED]]: COUNT damaged telegrams (a million) for each check: within its
// guarantee no wrong reading may come out (exit code 1 otherwise); beyond it, how many do, beside
// theory.
#include <cstdio>
#include <cstdlib>

#include "tests/libmeter/mutation.hpp"

int main(int argc, char** argv) {
  using namespace meter::test;
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  bool failed = false;
  std::printf("%-40s%12s%10s%10s%10s%12s\n", "", "mutations", "check ok", "harmless", "wrong",
              "neighbours");
  const auto print = [](const char* name, const Tally& tally) {
    std::printf("%-40s%12llu%10llu%10llu%10llu%12llu\n", name,
                static_cast<unsigned long long>(tally.mutations),
                static_cast<unsigned long long>(tally.sound),
                static_cast<unsigned long long>(tally.harmless),
                static_cast<unsigned long long>(tally.wrong),
                static_cast<unsigned long long>(tally.neighbours_lost));
    std::fflush(stdout);
  };
  for (const Check& check : checks()) {
    const Tally within = attack(check, count, seed, false);
    print(std::string(check.name).c_str(), within);
    if (within.wrong > 0) {
      failed = true;
      std::printf("  first wrong: %s\n", within.first_wrong.c_str());
    }
    if (check.beyond == nullptr) continue;
    const Tally beyond = attack(check, count, seed, true);
    print("  beyond: a run of 4 to 35 octets", beyond);
    const double total = static_cast<double>(beyond.mutations);
    std::printf("  the check let %.3g of them through (theory %.3g); %.3g became wrong readings\n",
                static_cast<double>(beyond.sound) / total, check.beyond_rate,
                static_cast<double>(beyond.wrong) / total);
  }
  return failed ? 1 : 0;
}
