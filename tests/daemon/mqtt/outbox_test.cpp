// SPDX-License-Identifier: Apache-2.0
// Outbox: in order while the broker is there, newest state first afterwards, and the bound holds.
#include "daemon/mqtt/outbox.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace smartmeterd::mqtt {
namespace {

std::vector<std::string> drain(Outbox& outbox) {
  std::vector<std::string> said;
  while (!outbox.empty()) {
    const Publication& message = outbox.front();
    said.push_back(std::string(message.topic) + "=" + std::string(message.payload) +
                   (message.retain ? " retained" : ""));
    outbox.pop();
  }
  return said;
}

using Lines = std::vector<std::string>;

Publication retained(std::string_view topic, std::string_view payload) {
  return {.topic = topic, .payload = payload, .retain = true};
}
Publication live(std::string_view topic, std::string_view payload, int qos = 0) {
  return {.topic = topic, .payload = payload, .qos = qos};
}

TEST(Outbox, NewestStateOfATopicWinsWhileTheBrokerIsAway) {
  Outbox outbox(10'000);
  outbox.put(retained("a", "1"));
  outbox.put(retained("b", "1"));
  outbox.put(retained("a", "2"));
  EXPECT_EQ(outbox.queued(), 2u);
  EXPECT_EQ(drain(outbox), (Lines{"a=2 retained", "b=1 retained"}));
  EXPECT_EQ(outbox.dropped(), 0u);
}

TEST(Outbox, NothingIsReplacedWhileTheBrokerIsThere) {
  Outbox outbox(10'000);
  outbox.connected();
  outbox.put(retained("a", "1"));
  outbox.put(live("live", "x"));
  outbox.put(retained("a", "2"));
  outbox.put(retained("a", ""));
  EXPECT_EQ(outbox.queued(), 4u);
  EXPECT_EQ(drain(outbox), (Lines{"a=1 retained", "live=x", "a=2 retained", "a= retained"}));
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, SaysEverythingRetainedAgainAndBeforeAllOthers) {
  Outbox outbox(10'000);
  outbox.connected();
  outbox.note(retained("a", "1"));
  outbox.note(retained("b", "1"));
  outbox.disconnected();
  outbox.put(live("live", "x"));
  outbox.put(retained("b", "2"));
  outbox.connected();
  EXPECT_EQ(drain(outbox), (Lines{"b=2 retained", "a=1 retained", "live=x"}));
}

TEST(Outbox, SaysAgainWhatBeginsLikeThis) {
  Outbox outbox(10'000);
  outbox.connected();
  outbox.note(retained("m/a/state", "1"));
  outbox.note(retained("m/b/state", "1"));
  outbox.put(retained("m/a/info", "2"));
  outbox.say_again_below("m/a/");
  EXPECT_EQ(drain(outbox), (Lines{"m/a/state=1 retained", "m/a/info=2 retained"}));
}

/// Topics without end leave the others their half.
TEST(Outbox, KeptTopicsLeaveHalfOfTheRoomToTheQueue) {
  Outbox outbox(20'000);
  outbox.connected();
  for (int i = 0; i < 100; ++i) outbox.note(retained("m/" + std::to_string(i) + "/state", "1"));
  EXPECT_GT(outbox.bytes(), 9'000u);
  EXPECT_LE(outbox.bytes(), 10'000u);
  for (int i = 0; i < 30; ++i) outbox.put(live("live", "x", 1));
  EXPECT_EQ(drain(outbox), Lines(30, "live=x"));
  EXPECT_EQ(outbox.dropped(), 0u);
  for (int i = 0; i < 100; ++i) outbox.put(live("live", "x", 1));
  EXPECT_GT(outbox.overflowed(), 0u);
  EXPECT_EQ(outbox.overflowed(), outbox.dropped());
}

/// What waited in order when the connection went is older than what comes then.
TEST(Outbox, NothingOldIsSaidAfterANewerOne) {
  Outbox outbox(10'000);
  outbox.connected();
  outbox.put(retained("a", "1"));
  outbox.put(live("live", "x"));
  outbox.put(retained("a", "2"));
  outbox.put(retained("b", "1"));
  outbox.disconnected();
  EXPECT_EQ(outbox.queued(), 3u);
  outbox.put(retained("a", "3"));
  outbox.put(live("live", "y"));
  outbox.connected();
  outbox.put(retained("b", "2"));  // not said yet: takes the other's place
  EXPECT_EQ(drain(outbox), (Lines{"a=3 retained", "b=2 retained", "live=x", "live=y"}));
  EXPECT_EQ(outbox.dropped(), 0u);
}

TEST(Outbox, RemovedTopicIsSaidEmptyOnceAndForgotten) {
  Outbox outbox(10'000);
  outbox.put(retained("m/unknown-a/info", "1"));
  outbox.put(retained("m/unknown-ab/state", "1"));
  drain(outbox);
  EXPECT_EQ(outbox.find_below("m/unknown-a/"), "m/unknown-a/info");
  outbox.put(retained("m/unknown-a/info", ""));
  EXPECT_EQ(outbox.find_below("m/unknown-a/"), "");
  EXPECT_EQ(drain(outbox), Lines{"m/unknown-a/info= retained"});
  outbox.connected();
  EXPECT_EQ(drain(outbox), Lines{"m/unknown-ab/state=1 retained"});
}

/// A former life of the service may have left it behind.
TEST(Outbox, TopicThatIsNotKnownCanBeRemoved) {
  Outbox outbox(10'000);
  outbox.put(retained("old", ""));
  EXPECT_EQ(drain(outbox), Lines{"old= retained"});
  outbox.connected();
  outbox.put(retained("old", ""));
  EXPECT_EQ(drain(outbox), Lines{"old= retained"});
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, RemovalSurvivesALostConnection) {
  Outbox outbox(10'000);
  outbox.connected();
  outbox.note(retained("a", "1"));
  outbox.put(retained("a", ""));
  outbox.disconnected();
  outbox.connected();
  EXPECT_EQ(drain(outbox), Lines{"a= retained"});
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, RemovedTopicThatComesBackLives) {
  Outbox outbox(10'000);
  outbox.put(retained("a", "1"));
  outbox.put(retained("a", ""));
  EXPECT_FALSE(outbox.holds("a", ""));
  outbox.put(retained("a", "2"));
  EXPECT_TRUE(outbox.holds("a", "2"));
  EXPECT_EQ(drain(outbox), Lines{"a=2 retained"});
  outbox.connected();
  EXPECT_EQ(drain(outbox), Lines{"a=2 retained"});
}

TEST(Outbox, OldestLiveMessagesMakeRoom) {
  Outbox outbox(2'000);
  for (int i = 0; i < 100; ++i) {
    outbox.put(live("live", std::to_string(i)));
    EXPECT_LE(outbox.bytes(), 2'000u);
  }
  const auto said = drain(outbox);
  ASSERT_FALSE(said.empty());
  EXPECT_EQ(said.back(), "live=99");
  EXPECT_EQ(outbox.dropped(), 100 - said.size());
}

/// A flood of one topic must not cost the last word of another.
TEST(Outbox, TheNewestOfARetainedTopicIsNotDropped) {
  Outbox outbox(3'000);
  outbox.connected();
  outbox.put(retained("availability", "offline"));
  for (int i = 0; i < 100; ++i) {
    outbox.put(retained("state", std::to_string(i)));
    EXPECT_LE(outbox.bytes(), 3'000u);
  }
  EXPECT_GT(outbox.dropped(), 0u);
  const auto said = drain(outbox);
  ASSERT_GT(said.size(), 2u);
  EXPECT_EQ(said.front(), "availability=offline retained");
  EXPECT_EQ(said.back(), "state=99 retained");
}

TEST(Outbox, StateGoesBeforeLiveMessagesWhenRoomIsShort) {
  Outbox outbox(2'000);
  outbox.put(live("live", std::string(1'000, 'x')));
  outbox.put(retained("state", std::string(600, 'y')));
  EXPECT_EQ(outbox.dropped(), 1u);
  EXPECT_EQ(drain(outbox), Lines{"state=" + std::string(600, 'y') + " retained"});
}

TEST(Outbox, RefusesWhatCanNeverFit) {
  Outbox outbox(1'000);
  outbox.put(retained("state", std::string(2'000, 'y')));
  outbox.put(live("live", std::string(2'000, 'x')));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.dropped(), 2u);
  EXPECT_EQ(outbox.bytes(), 0u);
}

/// More meters than can be remembered are published all the same.
TEST(Outbox, WhatCannotBeKeptIsSaidButNotAgain) {
  Outbox outbox(2'000);
  outbox.connected();
  outbox.put(retained("a", "1"));
  drain(outbox);
  outbox.put(retained("a", std::string(400, '2')));
  EXPECT_FALSE(outbox.holds("a", "1"));
  outbox.put(retained("b", "1"));
  drain(outbox);
  outbox.note(retained("c", std::string(900, '3')));
  EXPECT_EQ(outbox.dropped(), 0u);
  outbox.disconnected();
  outbox.connected();
  for (const std::string& line : drain(outbox)) EXPECT_FALSE(line.starts_with("c=")) << line;
}

TEST(Outbox, EverythingOfAMessageIsKeptWithIt) {
  Outbox outbox(10'000);
  {
    const std::string topic = "raw/ttyusb0", payload(100, 'p'), type = "application/octet-stream";
    const std::string name = "protocol", value = "mbus";
    const UserProperty properties[] = {{name, value}, {"empty", ""}};
    outbox.put({.topic = topic,
                .payload = payload,
                .qos = 1,
                .expiry_s = 15,
                .content_type = type,
                .properties = properties});
  }
  const Publication& message = outbox.front();
  EXPECT_EQ(message.topic, "raw/ttyusb0");
  EXPECT_EQ(message.payload, std::string(100, 'p'));
  EXPECT_FALSE(message.retain);
  EXPECT_EQ(message.qos, 1);
  EXPECT_EQ(message.expiry_s, 15u);
  EXPECT_EQ(message.content_type, "application/octet-stream");
  ASSERT_EQ(message.properties.size(), 2u);
  EXPECT_EQ(message.properties[0].name, "protocol");
  EXPECT_EQ(message.properties[0].value, "mbus");
  EXPECT_EQ(message.properties[1].name, "empty");
  EXPECT_EQ(message.properties[1].value, "");
}

TEST(Outbox, WhatTheBrokerDidNotAcknowledgeIsSaidAgainFirst) {
  Outbox outbox(10'000);
  outbox.connected();
  for (const char* payload : {"1", "2", "3", "4"}) outbox.put(live("live", payload, 1));
  for (int mid = 1; mid <= 3; ++mid) outbox.pop_in_flight(mid);
  EXPECT_EQ(outbox.queued(), 1u);
  outbox.acknowledged(2);
  outbox.acknowledged(99);
  outbox.disconnected();
  EXPECT_EQ(outbox.queued(), 3u);
  outbox.connected();
  EXPECT_EQ(drain(outbox), (Lines{"live=1", "live=3", "live=4"}));
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, BytesReturnToZero) {
  Outbox outbox(10'000);
  outbox.put(retained("a", "one"));
  outbox.put(retained("a", "a longer one"));
  outbox.put(live("live", "x"));
  outbox.put(retained("a", ""));
  drain(outbox);
  EXPECT_EQ(outbox.bytes(), 0u);
}

}  // namespace
}  // namespace smartmeterd::mqtt
