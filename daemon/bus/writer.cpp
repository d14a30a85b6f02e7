// SPDX-License-Identifier: Apache-2.0
// Writer: appends values to a message.
#include "daemon/bus/writer.hpp"

#include <algorithm>
#include <cstring>

#include "meter/telegram_json.hpp"

namespace smartmeterd::bus {
namespace {

/// Well-formed UTF-8 without NUL.
std::string cleaned(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = text.front() == '\0' ? 0 : meter::utf8_sequence(text);
    out += size == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, size);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

bool is_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0 && c < 0x7f; });
}

}  // namespace

Writer& Writer::put(std::string_view text) {
  if (!is_ascii(text)) return put(std::string_view(cleaned(text)), clean);
  return put(text, clean);
}

Writer& Writer::put(std::string_view text, Clean) {
  char* space = nullptr;
  if (error_ == 0) keep(sd_bus_message_append_string_space(message_, text.size(), &space));
  if (error_ == 0 && !text.empty()) std::memcpy(space, text.data(), text.size());
  return *this;
}

Writer& Writer::put(const ObjectPath& path) {
  if (error_ == 0) keep(sd_bus_message_append_basic(message_, 'o', path.text.c_str()));
  return *this;
}

Writer& Writer::put(const std::vector<std::string>& texts) {
  open('a', "s");
  for (const std::string& text : texts) put(std::string_view(text));
  return close();
}

Writer& Writer::put(const std::vector<double>& values) {
  open('a', "d");
  for (const double value : values) put(value);
  return close();
}

Writer& Writer::put(const std::map<std::string, std::uint64_t, std::less<>>& counts) {
  open('a', "{st}");
  for (const auto& [key, count] : counts)
    open('e', "st").put(std::string_view(key)).put(count).close();
  return close();
}

Writer& Writer::open(char type, const char* contents) {
  if (error_ == 0) keep(sd_bus_message_open_container(message_, type, contents));
  return *this;
}

Writer& Writer::close() {
  if (error_ == 0) keep(sd_bus_message_close_container(message_));
  return *this;
}

}  // namespace smartmeterd::bus
