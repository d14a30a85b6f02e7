// SPDX-License-Identifier: Apache-2.0
// read_key_text(): keys as operators print them.
#include "tools/smartmeterctl/key_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>
#include <string>
#include <vector>

#include "meter/base/hex.hpp"

namespace smartmeterctl {
namespace {

using meter::dlms::AuthenticationKey;
using meter::dlms::EncryptionKey;

enum class Purpose { unnamed, encryption, authentication };

/// Names that stand before a key. Each has a letter that is no hex digit: none is part of a key.
struct Name {
  std::string_view word;
  Purpose purpose;
};
constexpr std::array names = {
    Name{"GUEK", Purpose::encryption},           Name{"EK", Purpose::encryption},
    Name{"GPK60", Purpose::encryption},          Name{"ENCRYPTION", Purpose::encryption},
    Name{"ENCRYPTIONKEY", Purpose::encryption},  Name{"GAK", Purpose::authentication},
    Name{"AK", Purpose::authentication},         Name{"GPK61", Purpose::authentication},
    Name{"AUTHENTICATION", Purpose::authentication},
    Name{"AUTHENTICATIONKEY", Purpose::authentication},
    // Words around a name: "Global Unicast Encryption Key".
    Name{"KEY", Purpose::unnamed},               Name{"GLOBAL", Purpose::unnamed},
    Name{"UNICAST", Purpose::unnamed},
};

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

/// The name at the front of `text`, and how long it is; null where there is none.
const Name* name_at(std::string_view text, std::size_t& size) {
  const auto word_end = [&](std::size_t from) {
    while (from < text.size() && is_word(text[from])) ++from;
    return from;
  };
  const auto same = [](std::string_view word, std::string_view name) {
    return std::ranges::equal(word, name, [](char a, char b) {
      return std::toupper(static_cast<unsigned char>(a)) == b;
    });
  };
  size = word_end(0);
  const bool split_number = same(text.substr(0, size), "GPK") && size + 3 <= text.size() &&
                            word_end(size + 1) == size + 3 && text[size + 1] == '6';
  if (split_number) {  // "GPK 60"
    const char digit = text[size + 2];
    size += 3;
    if (digit == '0') return &names[2];
    return digit == '1' ? &names[7] : nullptr;
  }
  for (const Name& name : names)
    if (same(text.substr(0, size), name.word)) return &name;
  return nullptr;
}

/// One key's characters and the name before them.
struct Part {
  Purpose purpose = Purpose::unnamed;
  std::string_view text;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view around = " \t\r\n:=\"',;.()[]";
  const auto first = text.find_first_not_of(around);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(around) - first + 1);
}

/// Cuts the text at the names.
std::vector<Part> cut_at_names(std::string_view text) {
  std::vector<Part> parts;
  Part part;
  std::size_t begin = 0;
  const auto end_part = [&](std::size_t end) {
    part.text = trimmed(text.substr(begin, end - begin));
    if (!part.text.empty()) parts.push_back(part);
  };
  for (std::size_t at = 0; at < text.size();) {
    if (!is_word(text[at])) {
      ++at;
      continue;
    }
    std::size_t size = 0;
    if (const Name* name = name_at(text.substr(at), size)) {
      end_part(at);
      if (name->purpose != Purpose::unnamed) part.purpose = name->purpose;
      begin = at + size;
    }
    at += size;
  }
  end_part(text.size());
  return parts;
}

std::size_t digits_in(std::string_view line) {
  return static_cast<std::size_t>(
      std::ranges::count_if(line, [](char c) { return meter::hex_value(c) >= 0; }));
}

/// Two lines without names that are one key each.
void cut_at_line(std::vector<Part>& parts) {
  if (parts.size() != 1 || parts[0].purpose != Purpose::unnamed) return;
  const std::string_view text = parts[0].text;
  const std::size_t end = text.find('\n');
  if (end == text.npos) return;
  const std::string_view first = trimmed(text.substr(0, end)), second = trimmed(text.substr(end));
  constexpr std::size_t key_digits = 32;  // AES-128
  if (second.find('\n') != second.npos || digits_in(first) < key_digits ||
      digits_in(second) < key_digits)
    return;
  parts = {{Purpose::encryption, first}, {Purpose::authentication, second}};
}

template <class Key>
Key parse(std::string_view text, std::string_view what) {
  auto parsed = Key::parse(text);
  if (!parsed.key) throw std::runtime_error(fmt::format("{}: {}", what, parsed.error));
  return std::move(*parsed.key);
}

}  // namespace

MeterKeys read_key_text(std::string_view text) {
  std::vector<Part> parts = cut_at_names(text);
  cut_at_line(parts);
  const Part *encryption = nullptr, *authentication = nullptr;
  for (const Part& part : parts) {
    const Part*& place = part.purpose == Purpose::authentication ? authentication : encryption;
    if (place != nullptr)
      throw std::runtime_error(fmt::format(
          "there are two {} keys: give one meter's keys at a time",
          part.purpose == Purpose::authentication ? "authentication" : "encryption"));
    place = &part;
  }
  if (encryption == nullptr && authentication != nullptr)
    throw std::runtime_error(
        "this is an authentication key alone: the encryption key (GUEK, EK, GPK60) is needed");
  if (encryption == nullptr) throw std::runtime_error("there is no key");
  MeterKeys keys{parse<EncryptionKey>(encryption->text, "encryption key"), std::nullopt};
  if (authentication != nullptr)
    keys.authentication = parse<AuthenticationKey>(authentication->text, "authentication key");
  return keys;
}

std::optional<AuthenticationKey> read_authentication_key(std::string_view text) {
  const std::vector<Part> parts = cut_at_names(text);
  if (parts.empty()) return std::nullopt;
  if (parts.size() > 1 || parts[0].purpose == Purpose::encryption)
    throw std::runtime_error("expected one authentication key (GAK, AK, GPK61)");
  return parse<AuthenticationKey>(parts[0].text, "authentication key");
}

}  // namespace smartmeterctl
