// SPDX-License-Identifier: Apache-2.0
// What an inbox does not take, and why.
#include "daemon/mqtt/inbox.hpp"

#include <gtest/gtest.h>

#include <string>

namespace smartmeterd::mqtt {
namespace {

bool put(Inbox& inbox, std::string topic, std::string payload) {
  mosquitto_message message{};
  message.topic = topic.data();
  message.payload = payload.data();
  message.payloadlen = static_cast<int>(payload.size());
  return inbox.put(message, nullptr);
}

TEST(Inbox, TellsAMessageThatIsTooLongFromOneThatHasNoRoom) {
  Inbox inbox;
  EXPECT_FALSE(put(inbox, "long", std::string(Inbox::payload_size_max + 1, 'x')));
  auto lost = inbox.take_lost();
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->why, Inbox::Loss::too_long);
  EXPECT_EQ(lost->topic, "long");
  EXPECT_FALSE(inbox.take_lost());
  std::size_t taken = 0;
  while (put(inbox, "next", std::string(Inbox::payload_size_max, 'x'))) ++taken;
  EXPECT_LE(taken * Inbox::payload_size_max, Inbox::bytes_max);
  lost = inbox.take_lost();
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->why, Inbox::Loss::no_room);
  EXPECT_EQ(inbox.dropped(), 2u);
  while (!inbox.empty()) {
    EXPECT_EQ(inbox.front().payload.size(), Inbox::payload_size_max);
    inbox.pop();
  }
  EXPECT_TRUE(put(inbox, "next", "x"));
}

/// Whatever a turn of the library brings fits while there is said to be room: the longest message
/// on the longest topic, and a TLS record of further ones.
TEST(Inbox, HasRoomForTheLongestMessage) {
  Inbox inbox;
  constexpr std::size_t topic_size_max = 65535, record_size_max = 16 * 1024;
  for (std::size_t size = 1001; size + 1001 < Inbox::bytes_max / 2; size += 1001)
    ASSERT_TRUE(put(inbox, "a", std::string(1000, 'x')));
  ASSERT_TRUE(inbox.has_room());
  EXPECT_TRUE(
      put(inbox, std::string(topic_size_max, 't'), std::string(Inbox::payload_size_max, 'x')));
  EXPECT_TRUE(put(inbox, "a", std::string(record_size_max, 'x')));
}

}  // namespace
}  // namespace smartmeterd::mqtt
