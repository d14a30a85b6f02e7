// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: over the seeds of a folder and over mutations of them
// that are the same in every run. How to use: fuzz_NAME FOLDER [MUTATIONS PER SEED].
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

namespace {

using Input = std::vector<std::uint8_t>;

/// One to four random edits: flip, overwrite, cut, insert, repeat a part, join with another seed.
Input mutated(const Input& seed, const Input& other, std::mt19937& random) {
  Input input = seed;
  for (std::size_t edits = 1 + random() % 4; edits > 0; --edits) {
    const std::size_t at = input.empty() ? 0 : random() % input.size();
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    const auto octet = static_cast<std::uint8_t>(random() & 0xff);
    switch (input.empty() ? 3 : random() % 6) {
      case 0:
        input[at] = static_cast<std::uint8_t>(input[at] ^ 1u << random() % 8);
        break;
      case 1:
        input[at] = octet;
        break;
      case 2:
        input.erase(place,
                    place + static_cast<std::ptrdiff_t>(random() % (input.size() - at) / 2 + 1));
        break;
      case 3:
        input.insert(place, 1 + random() % 9, octet);
        break;
      case 4: {
        const Input part(place, input.end());
        input.insert(input.begin(), part.begin(), part.end());
        break;
      }
      default:
        input.erase(place, input.end());
        input.insert(input.end(), other.begin(), other.end());
    }
    input.resize(std::min<std::size_t>(input.size(), 64 * 1024));
  }
  return input;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [MUTATIONS PER SEED]\n", arguments[0]);
    return 2;
  }
  const std::size_t mutations = count > 2 ? std::stoul(arguments[2]) : 5000;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(arguments[1]))
    paths.push_back(entry.path());
  std::ranges::sort(paths);
  std::vector<Input> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds in %s\n", arguments[1]);
    return 1;
  }
  std::mt19937 random(1);
  (void)LLVMFuzzerTestOneInput(nullptr, 0);
  for (const Input& seed : seeds) {
    (void)LLVMFuzzerTestOneInput(seed.data(), seed.size());
    for (std::size_t i = 0; i < mutations; ++i) {
      const Input input = mutated(seed, seeds[random() % seeds.size()], random);
      (void)LLVMFuzzerTestOneInput(input.data(), input.size());
    }
  }
  std::printf("%zu seeds, %zu mutations of each\n", seeds.size(), mutations);
  return 0;
}
