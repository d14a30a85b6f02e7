// SPDX-License-Identifier: Apache-2.0
// SML messages for tests: hex digits in, checksums added.
#pragma once

#include <string>

#include "tests/libmeter/link/frames.hpp"

namespace meter::test {

/// A message with the body `tag` and `content`; its CRC is X-25, low octet first.
inline Octets sml_message(const std::string& tag, const std::string& content) {
  Octets message = from_hex("76 05 00 00 00 01 62 00 62 00 72" + tag + content);
  const unsigned crc = slow_crc_x25(message);
  message.push_back(std::byte{0x63});
  message.push_back(static_cast<std::byte>(crc & 0xff));
  message.push_back(static_cast<std::byte>(crc >> 8));
  message.push_back(std::byte{0});
  return message;
}

/// A list of fewer than 16 elements.
inline std::string sml_list_head(std::size_t count) {
  return {'7', "0123456789ABCDEF"[count % 16]};
}

struct SmlList {
  std::string server = "0B 0A 01 44 5A 47 00 02 82 22 5E";
  std::string time = "72 62 01 65 05 E7 48 D7";
  std::string list_name = "07 01 00 62 0A FF FF";
};

/// A GetList response of these entries.
inline Octets sml_list(std::initializer_list<std::string> entries, const SmlList& list = {}) {
  std::string content = "77 01" + list.server + list.list_name + list.time;
  content += sml_list_head(entries.size());
  for (const std::string& entry : entries) content += entry;
  return sml_message("63 07 01", content + "01 01");
}

inline Octets sml_open() {
  return sml_message("63 01 01",
                     "76 01 01 02 31 0B 0A01445A47000282225E 72 62 01 65 05E748D7 62 02");
}
inline Octets sml_close() {
  return sml_message("63 02 01", "71 01");
}

/// A whole file with one list.
inline Octets sml_file(std::initializer_list<std::string> entries, const SmlList& list = {}) {
  return concatenated({sml_open(), sml_list(entries, list), sml_close()});
}

}  // namespace meter::test
