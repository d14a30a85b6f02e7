// SPDX-License-Identifier: Apache-2.0
// Finds where messages begin and end, by lines and by braces outside strings.
#include "tools/smartmeterctl/json_messages.hpp"

#include <algorithm>
#include <utility>

namespace smartmeterctl {
namespace {

/// Twice what the decoder takes: it shall see, and say, that a message is too long.
constexpr std::size_t line_size_max = 2 * 64 * 1024;
constexpr std::size_t beginning_size = 4096;
constexpr std::string_view blanks = " \t\r\n";

/// Where the object of a line begins: at its first mark, or after a topic and a blank.
std::optional<std::size_t> find_object(std::string_view line) {
  const std::size_t first = line.find_first_not_of(blanks);
  if (first == line.npos) return std::nullopt;
  if (line[first] == '{') return first;
  const std::size_t brace = line.find(" {");
  return brace == line.npos ? std::nullopt : std::optional(brace + 1);
}

/// Braces and brackets of JSON, outside strings.
class Balance {
 public:
  Balance(unsigned& depth, bool& in_string, bool& escaped)
      : depth_(depth), in_string_(in_string), escaped_(escaped) {}
  /// Behind the mark that closes everything; nothing: it goes on.
  std::optional<std::size_t> end_in(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (in_string_) {
        in_string_ = escaped_ || c != '"';
        escaped_ = !escaped_ && c == '\\';
      } else if (c == '"') {
        in_string_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if ((c == '}' || c == ']') && depth_ > 0) {
        --depth_;
        if (depth_ == 0) return i + 1;
      }
    }
    return std::nullopt;
  }

 private:
  unsigned& depth_;
  bool& in_string_;
  bool& escaped_;
};

/// A line that is one whole message and nothing else, as recordings have them.
bool is_whole_message(std::string_view line) {
  const auto brace = find_object(line);
  if (!brace || blanks.find(line.front()) != blanks.npos || line.front() == '"') return false;
  unsigned depth = 0;
  bool in_string = false, escaped = false;
  const auto end = Balance(depth, in_string, escaped).end_in(line.substr(*brace));
  return end && line.find_first_not_of(blanks, *brace + *end) == line.npos;
}

}  // namespace

bool looks_like_json(std::span<const std::byte> beginning) {
  std::string_view text(reinterpret_cast<const char*>(beginning.data()), beginning.size());
  text = text.substr(0, beginning_size);
  const auto binary = [](char c) {
    return static_cast<unsigned char>(c) < ' ' && blanks.find(c) == blanks.npos;
  };
  if (std::ranges::any_of(text, binary)) return false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (find_object(text.substr(0, end))) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

void JsonMessages::add(std::span<const std::byte> piece) {
  std::string_view text(reinterpret_cast<const char*>(piece.data()), piece.size());
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    const std::string_view part = text.substr(0, newline == text.npos ? newline : newline + 1);
    text.remove_prefix(part.size());
    received_ += part.size();
    if (!too_long_) line_ += part;
    if (line_.size() > line_size_max) {
      take_line();
      too_long_ = lost_ = true;
      flush();
    }
    if (newline == std::string_view::npos) continue;
    take_line();
    too_long_ = false;
  }
}

void JsonMessages::finish() {
  take_line();
  flush();
}

void JsonMessages::take_line() {
  const std::string line = std::exchange(line_, {});
  if (line.empty()) return;
  if (is_whole_message(line)) {
    flush();
    lost_ = false;
  }
  if (!lost_) take(line, received_ - line.size());
}

/// A line, of which some was taken.
void JsonMessages::take(std::string_view text, std::uint64_t offset) {
  while (text.find_first_not_of(blanks) != text.npos) {
    if (!open_) {
      const std::size_t first = text.find_first_not_of(blanks);
      const std::size_t brace = find_object(text).value_or(first);
      std::string_view topic = text.substr(first, brace - first);
      topic = topic.substr(0, topic.find_last_not_of(blanks) + 1);
      open_ = JsonMessage{std::string(topic), {}, offset + brace};
      text.remove_prefix(brace);
      offset += brace;
      depth_ = 0;
      in_string_ = escaped_ = false;
    }
    const bool is_object = !open_->text.empty() || text.front() == '{';
    const auto end = Balance(depth_, in_string_, escaped_).end_in(text);
    const std::size_t size = end.value_or(text.size());
    open_->text += text.substr(0, size);
    text.remove_prefix(size);
    offset += size;
    lost_ = open_->text.size() > line_size_max;
    if (end || !is_object || lost_) flush();
    if (lost_) return;
  }
}

void JsonMessages::flush() {
  if (open_) whole_.push_back(std::move(*open_));
  open_.reset();
}

std::optional<JsonMessage> JsonMessages::next() {
  if (whole_.empty()) return std::nullopt;
  JsonMessage message = std::move(whole_.front());
  whole_.pop_front();
  return message;
}

}  // namespace smartmeterctl
