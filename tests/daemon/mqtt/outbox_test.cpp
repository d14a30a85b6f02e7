// SPDX-License-Identifier: Apache-2.0
// Outbox: newest state wins, the oldest live message makes room, the bound holds.
#include "daemon/mqtt/outbox.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace smartmeterd::mqtt {
namespace {

std::vector<std::string> drain(Outbox& outbox) {
  std::vector<std::string> said;
  while (!outbox.empty()) {
    const auto message = outbox.front();
    said.push_back(message.topic + "=" + message.payload + (message.retain ? " retained" : ""));
    outbox.pop();
  }
  return said;
}

using Lines = std::vector<std::string>;

TEST(Outbox, NewestStateOfATopicWins) {
  Outbox outbox(10'000);
  outbox.retain("a", "1");
  outbox.retain("b", "1");
  outbox.retain("a", "2");
  EXPECT_EQ(outbox.queued(), 2u);
  EXPECT_EQ(drain(outbox), (Lines{"a=2 retained", "b=1 retained"}));
  EXPECT_EQ(outbox.dropped(), 0u);
}

TEST(Outbox, SaysEverythingRetainedAgain) {
  Outbox outbox(10'000);
  outbox.retain("a", "1");
  outbox.retain("b", "1");
  outbox.append("live", "x");
  drain(outbox);
  outbox.retain("b", "2");
  outbox.say_everything_again();
  EXPECT_EQ(drain(outbox), (Lines{"b=2 retained", "a=1 retained"}));
}

TEST(Outbox, RemovedTopicIsSaidEmptyOnceAndForgotten) {
  Outbox outbox(10'000);
  outbox.retain("m/unknown-a/info", "1");
  outbox.retain("m/unknown-a/state", "1");
  outbox.retain("m/unknown-ab/state", "1");
  drain(outbox);
  outbox.remove_below("m/unknown-a/");
  EXPECT_EQ(drain(outbox), (Lines{"m/unknown-a/info= retained", "m/unknown-a/state= retained"}));
  outbox.say_everything_again();
  EXPECT_EQ(drain(outbox), Lines{"m/unknown-ab/state=1 retained"});
}

TEST(Outbox, RemovedTopicThatComesBackLives) {
  Outbox outbox(10'000);
  outbox.retain("a", "1");
  outbox.remove("a");
  EXPECT_FALSE(outbox.holds("a", ""));
  outbox.retain("a", "2");
  EXPECT_TRUE(outbox.holds("a", "2"));
  EXPECT_EQ(drain(outbox), Lines{"a=2 retained"});
  outbox.say_everything_again();
  EXPECT_EQ(drain(outbox), Lines{"a=2 retained"});
}

TEST(Outbox, OldestLiveMessagesMakeRoom) {
  Outbox outbox(1'000);
  for (int i = 0; i < 100; ++i) {
    outbox.append("live", std::to_string(i));
    EXPECT_LE(outbox.bytes(), 1'000u);
  }
  const auto said = drain(outbox);
  ASSERT_FALSE(said.empty());
  EXPECT_EQ(said.back(), "live=99");
  EXPECT_EQ(outbox.dropped(), 100 - said.size());
}

TEST(Outbox, StateGoesBeforeLiveMessagesWhenRoomIsShort) {
  Outbox outbox(1'000);
  outbox.append("live", std::string(600, 'x'));
  outbox.retain("state", std::string(600, 'y'));
  EXPECT_EQ(outbox.dropped(), 1u);
  EXPECT_EQ(drain(outbox), Lines{"state=" + std::string(600, 'y') + " retained"});
}

TEST(Outbox, RefusesWhatCanNeverFit) {
  Outbox outbox(1'000);
  outbox.retain("state", std::string(2'000, 'y'));
  outbox.append("live", std::string(2'000, 'x'));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.dropped(), 2u);
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, BytesReturnToZero) {
  Outbox outbox(10'000);
  outbox.retain("a", "one");
  outbox.retain("a", "a longer one");
  outbox.append("live", "x");
  outbox.remove("a");
  drain(outbox);
  EXPECT_EQ(outbox.bytes(), 0u);
}

}  // namespace
}  // namespace smartmeterd::mqtt
