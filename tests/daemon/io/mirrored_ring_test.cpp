// SPDX-License-Identifier: Apache-2.0
// MirroredRing: content stays contiguous across the wrap, and a full ring drops the oldest.
#include "daemon/io/mirrored_ring.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>

namespace smartmeterd::io {
namespace {

void put(MirroredRing& ring, std::string_view text) {
  ASSERT_GE(ring.writable().size(), text.size());
  std::memcpy(ring.writable().data(), text.data(), text.size());
  ring.produced(text.size());
}

TEST(MirroredRing, SizeIsRoundedUpToPages) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  EXPECT_EQ(MirroredRing::make(1)->size(), page);
  EXPECT_EQ(MirroredRing::make(0)->size(), page);
  EXPECT_EQ(MirroredRing::make(page + 1)->size(), 2 * page);
  EXPECT_EQ(MirroredRing::make()->size() % page, 0u);
}

TEST(MirroredRing, ViewIsContiguousAcrossTheWrap) {
  auto ring = MirroredRing::make(4096);
  ring->produced(ring->size() - 3);
  ring->consume(ring->size() - 3);
  put(*ring, "across the wrap");
  EXPECT_EQ(meter::text_of(ring->readable()), "across the wrap");
  EXPECT_EQ(ring->total(), ring->size() - 3 + 15);
  ring->consume(11);
  EXPECT_EQ(meter::text_of(ring->readable()), "wrap");
  ring->clear();
  EXPECT_TRUE(ring->readable().empty());
}

TEST(MirroredRing, FullRingDropsTheOldest) {
  auto ring = MirroredRing::make(4096);
  const auto size = ring->size();
  put(*ring, std::string(size - 4, 'o') + "tail");
  EXPECT_TRUE(ring->writable().empty());
  EXPECT_EQ(ring->make_room(100), 100u);
  EXPECT_EQ(ring->writable().size(), 100u);
  EXPECT_EQ(ring->make_room(100), 0u);  // there already
  EXPECT_EQ(ring->readable().size(), size - 100);
  EXPECT_EQ(ring->make_room(10 * size), size - 100);  // no more than there is
  EXPECT_TRUE(ring->readable().empty());
}

TEST(MirroredRing, AnyOrderOfPutAndTakeKeepsTheStream) {
  auto ring = MirroredRing::make(4096);
  std::mt19937 random(1);
  std::string model;
  for (int i = 0; i < 20000; ++i) {
    std::string chunk(random() % 700, '\0');
    for (auto& c : chunk) c = static_cast<char>(random());
    chunk.resize(std::min(chunk.size(), ring->writable().size()));
    put(*ring, chunk);
    model += chunk;
    const auto take = random() % (model.size() + 1);
    ring->consume(take);
    model.erase(0, take);
    ASSERT_EQ(meter::text_of(ring->readable()), model);
  }
}

}  // namespace
}  // namespace smartmeterd::io
