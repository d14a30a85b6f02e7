// SPDX-License-Identifier: Apache-2.0
// JsonMessages: cuts a recording of MQTT messages into its messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace smartmeterctl {

/// One message of a recording: "topic {…}" on a line as mosquitto_sub -v prints it, "{…}" on one
/// line or on several.
struct JsonMessage {
  std::string topic;         ///< empty: the line names none
  std::string text;          ///< a whole object; or what does not become one
  std::uint64_t offset = 0;  ///< of the text in the recording
};

/// True for text that holds an object where a message begins: the first octets of a recording.
bool looks_like_json(std::span<const std::byte> beginning);

/// An object that never ends is given up where the next line is a whole message, so that a broken
/// one takes no good one with it.
class JsonMessages {
 public:
  void add(std::span<const std::byte> piece);
  /// The last line has no end.
  void finish();
  std::optional<JsonMessage> next();

 private:
  void take_line();
  void take(std::string_view text, std::uint64_t offset);
  void flush();

  std::deque<JsonMessage> whole_;
  std::uint64_t received_ = 0;
  std::string line_;       ///< without its end so far
  bool too_long_ = false;  ///< the rest of this line is passed over
  bool lost_ = false;      ///< an endless object was given up: only a whole line is a beginning
  std::optional<JsonMessage> open_;  ///< an object that has begun
  // where it stands
  unsigned depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

}  // namespace smartmeterctl
