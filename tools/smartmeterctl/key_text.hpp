// SPDX-License-Identifier: Apache-2.0
// read_key_text(): keys as operators print them.
#pragma once

#include <optional>
#include <string_view>

#include "meter/dlms/security.hpp"

namespace smartmeterctl {

/// What a person pasted.
struct MeterKeys {
  meter::dlms::EncryptionKey encryption;
  std::optional<meter::dlms::AuthenticationKey> authentication;
};

/// "GUEK 0011 2233…", "EK: …", "GPK60=…" with or without "GAK", "AK", "GPK61" on the same or the
/// next line, in any order; without names the encryption key, or two lines of one key each, the
/// encryption key first. Throws std::runtime_error that says what is wrong and where, and repeats
/// no character of a key but a letter that stands for a digit.
MeterKeys read_key_text(std::string_view text);

/// One authentication key, its name in front or not; nothing where the text is blank. Throws
/// std::runtime_error.
std::optional<meter::dlms::AuthenticationKey> read_authentication_key(std::string_view text);

}  // namespace smartmeterctl
