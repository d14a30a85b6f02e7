// SPDX-License-Identifier: Apache-2.0
// read_key_text(): keys as operators print them. A key is found by its form, so that the words of a
// letter may stand around it; what is meant to be one but is none is found by its likeness.
#include "tools/smartmeterctl/key_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "meter/base/hex.hpp"
#include "tools/smartmeterctl/secret.hpp"

namespace smartmeterctl {
namespace {

using meter::dlms::AuthenticationKey;
using meter::dlms::EncryptionKey;

constexpr std::size_t key_digits = 32;          // AES-128
constexpr std::size_t key_digits_aes_256 = 64;  // suite 2

/// What only separates, in UTF-8: letters and web pages are full of it.
constexpr std::array<std::string_view, 4> separating = {
    "\xef\xbb\xbf",  // byte order mark
    "\xe2\x81\xa0",  // word joiner
    "\xc2\xa0",      // no-break space
    "\xc2\xad",      // soft hyphen
};

/// How many octets of `text` at its front separate and are not ASCII; 0: none.
std::size_t separator_size(std::string_view text) {
  for (const std::string_view one : separating)
    if (text.starts_with(one)) return one.size();
  const auto octet = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  // U+2000 to U+203F: blanks and dashes of every width, quotation marks.
  if (octet(0) == 0xe2 && octet(1) == 0x80) return 3;
  // «, » and the same characters in a file of Windows-1252.
  if (octet(0) == 0xc2 && (octet(1) == 0xab || octet(1) == 0xbb)) return 2;
  constexpr std::string_view windows_1252 = "\x82\x84\x91\x92\x93\x94\x96\x97\xa0\xab\xad\xbb";
  const bool is_utf8_start = octet(0) >= 0xc2 && octet(1) >= 0x80 && octet(1) < 0xc0;
  return !is_utf8_start && octet(0) >= 0x80 && windows_1252.find(text[0]) != text.npos ? 1 : 0;
}

/// The text with one blank for whatever separates. `plain` takes as much as `text` has.
void write_plain(std::string_view text, Secret& plain) {
  // Notepad's and PowerShell's "Unicode": every other octet of ASCII text is 0.
  const bool is_utf16 = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  if (is_utf16) text.remove_prefix(2);
  for (std::size_t at = 0; at < text.size();) {
    const bool is_continued = at > 0 && (static_cast<unsigned char>(text[at - 1]) & 0xc0) == 0xc0;
    const std::size_t size = is_continued ? 0 : separator_size(text.substr(at));
    if (size > 0 || text[at] == ',' || text[at] == ';')
      plain.append(" ");
    else if (!is_utf16 || text[at] != '\0')
      plain.append(text.substr(at, 1));
    at += std::max<std::size_t>(size, 1);
  }
}

enum class Purpose { unnamed, encryption, authentication };

/// Words that stand before a key. Each has a letter that is no hex digit: none is part of a key.
struct Name {
  std::string_view word;
  Purpose purpose;
  bool is_beginning = false;  ///< of a longer word, in several languages
};
constexpr std::array names = {
    Name{"GUEK", Purpose::encryption},          Name{"EK", Purpose::encryption},
    Name{"GPK60", Purpose::encryption},         Name{"ENCRYPT", Purpose::encryption, true},
    Name{"KRYPT", Purpose::encryption, true},   Name{"CHIFFR", Purpose::encryption, true},
    Name{"VERSCHL", Purpose::encryption, true}, Name{"ENTSCHL", Purpose::encryption, true},
    Name{"GAK", Purpose::authentication},       Name{"AK", Purpose::authentication},
    Name{"GPK61", Purpose::authentication},     Name{"AUTHENT", Purpose::authentication, true},
    Name{"AUTENT", Purpose::authentication, true},
};

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}

bool is_hex(char c) {
  return meter::hex_value(c) >= 0;
}

/// The first word of `text` from `at` on; empty at the end.
std::string_view word_from(std::string_view text, std::size_t at) {
  while (at < text.size() && !is_word(text[at])) ++at;
  std::size_t end = at;
  while (end < text.size() && is_word(text[end])) ++end;
  return text.substr(at, end - at);
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t at = 0;
  for (auto word = word_from(text, at); !word.empty(); word = word_from(text, at)) {
    words.push_back(word);
    at = static_cast<std::size_t>(word.end() - text.begin());
  }
  return words;
}

bool same_letters(std::string_view word, std::string_view name) {
  return std::ranges::equal(word, name, [](char a, char b) {
    return std::toupper(static_cast<unsigned char>(a)) == b;
  });
}

/// The purpose that a word names, or the word and the next one ("GPK 60"), of which it then takes
/// that in; unnamed where it is no name.
Purpose purpose_of(std::string_view& word, std::string_view next) {
  if (same_letters(word, "GPK") && (next == "60" || next == "61")) {
    word = std::string_view(word.begin(), next.end());
    return next == "60" ? Purpose::encryption : Purpose::authentication;
  }
  for (const Name& name : names)
    if (same_letters(name.is_beginning ? word.substr(0, name.word.size()) : word, name.word))
      return name.purpose;
  return Purpose::unnamed;
}

/// What stands behind a name, up to the next one; or before the first.
struct Part {
  Purpose purpose = Purpose::unnamed;
  std::string_view text;
};

/// Cuts the text at the names. The first part is what stands before them.
std::vector<Part> cut_at_names(std::string_view text) {
  std::vector<Part> parts(1);
  auto begin = text.begin();
  const auto words = words_of(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    const auto next = i + 1 < words.size() ? words[i + 1] : std::string_view();
    const Purpose purpose = purpose_of(word, next);
    if (purpose == Purpose::unnamed) continue;
    parts.back().text = std::string_view(begin, word.begin());
    parts.push_back({purpose, {}});
    begin = word.end();
    if (word.size() > words[i].size()) ++i;
  }
  parts.back().text = std::string_view(begin, text.end());
  return parts;
}

constexpr std::string_view blanks = " \t\r\n-";

/// Whether two words are pieces of one key, by what stands between them: blanks, line breaks and
/// dashes, or one colon.
bool joins(std::string_view between) {
  return between == ":" || between.find_first_not_of(blanks) == between.npos;
}

/// Takes the words together that may be pieces of a key, where what stands between them joins them.
template <class Piece, class Joint>
std::vector<std::string_view> runs_of(std::string_view text, Piece is_piece, Joint is_joint) {
  std::vector<std::string_view> runs;
  bool open = false;
  for (const std::string_view word : words_of(text)) {
    if (!is_piece(word)) {
      open = false;
    } else if (open && is_joint(std::string_view(runs.back().end(), word.begin()))) {
      runs.back() = std::string_view(runs.back().begin(), word.end());
    } else {
      runs.push_back(word);
      open = true;
    }
  }
  return runs;
}

std::string_view without_0x(std::string_view word) {
  if (word.starts_with("0x") || word.starts_with("0X")) word.remove_prefix(2);
  return word;
}

std::size_t digits_in(std::string_view text) {
  std::size_t digits = 0;
  for (const std::string_view word : words_of(text)) digits += without_0x(word).size();
  return digits;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    lines.push_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(lines.back().size() + 1, text.size()));
  }
  return lines;
}

/// The keys of a run of hex digits: itself, or else its lines or words that have a key's size (a
/// number on the line before is none of it).
void take_keys(std::string_view run, std::vector<std::string_view>& keys) {
  if (digits_in(run) == key_digits) return keys.push_back(run);
  for (const auto& pieces : {lines_of(run), words_of(run)}) {
    const std::size_t before = keys.size();
    for (const std::string_view piece : pieces)
      if (digits_in(piece) == key_digits) keys.push_back(piece);
    if (keys.size() > before) return;
  }
  // Two keys of which one has a digit too many and the other one too few are no long key.
  if (digits_in(run) == key_digits_aes_256 && run.find('\n') == run.npos) keys.push_back(run);
}

std::vector<std::string_view> keys_in(std::string_view text) {
  std::vector<std::string_view> keys;
  const auto is_piece = [](std::string_view word) {
    return std::ranges::all_of(without_0x(word), is_hex);
  };
  for (const std::string_view run : runs_of(text, is_piece, joins)) take_keys(run, keys);
  return keys;
}

/// Whether a word was probably meant as a piece of a key: nearly all hex digits, and no word of a
/// language ("die", "code").
bool is_key_like(std::string_view word) {
  const auto others =
      static_cast<std::size_t>(std::ranges::count_if(word, [](char c) { return !is_hex(c); }));
  constexpr std::size_t long_word = 8;
  // Of a word only the first letter is a capital one, and it has no digits.
  const bool is_no_word = word.size() >= long_word ||
                          std::ranges::any_of(word, [](char c) { return c >= '0' && c <= '9'; }) ||
                          std::ranges::any_of(word.substr(1),
                                              [](char c) { return c >= 'A' && c <= 'Z'; });
  return others == 0 || (4 * others <= word.size() + 2 && is_no_word);
}

/// Also one wrong character may stand between, but none that sets things apart.
bool joins_broken(std::string_view between) {
  const auto is_odd = [](char c) { return blanks.find(c) == blanks.npos; };
  return joins(between) || (std::ranges::count_if(between, is_odd) == 1 &&
                            between.find_first_of("()[]/|") == between.npos);
}

/// Whether a piece that has not a key's size was meant as one: it has more digits than system
/// titles and meter numbers, and more letters than the number of a metering point ("DE00…").
bool is_broken_key(std::string_view piece) {
  constexpr std::ptrdiff_t letters_min = 3;
  constexpr std::size_t digits_min = 20;
  const auto is_letter = [](char c) { return is_hex(c) && (c < '0' || c > '9'); };
  return digits_in(piece) >= digits_min && std::ranges::count_if(piece, is_letter) >= letters_min;
}

/// The longest piece of the text that was probably meant to be a key; empty where there is none.
std::string_view key_like(std::string_view text) {
  std::string_view longest;
  for (const std::string_view run : runs_of(text, is_key_like, joins_broken))
    if (digits_in(run) > digits_in(longest)) longest = run;
  return longest;
}

/// A piece beside these keys that was meant to be one; or empty.
std::string_view broken_key(std::string_view text, const std::vector<std::string_view>& keys) {
  const auto is_left = [&keys](std::string_view word) {
    return is_key_like(word) && std::ranges::none_of(keys, [word](std::string_view key) {
             return word.begin() >= key.begin() && word.end() <= key.end();
           });
  };
  for (const std::string_view run : runs_of(text, is_left, joins_broken))
    if (is_broken_key(run)) return run;
  return {};
}

/// 16 octets in base64 (RFC 4648): what some programs make of a key.
bool has_base64_key(std::string_view text) {
  constexpr std::size_t size = 24;
  const std::size_t end = text.find("==");
  if (end == text.npos || end + 2 < size) return false;
  const std::string_view front = text.substr(end + 2 - size, size - 2);
  return std::ranges::all_of(front, [](char c) { return is_word(c) || c == '+' || c == '/'; });
}

const char* name_of(Purpose purpose) {
  return purpose == Purpose::authentication ? "authentication" : "encryption";
}

template <class Key>
Key parse(std::string_view text, Purpose purpose) {
  auto parsed = Key::parse(text);
  if (!parsed.key)
    throw std::runtime_error(fmt::format("{} key: {}", name_of(purpose), parsed.error));
  return std::move(*parsed.key);
}

/// Says what is wrong with the text, which holds no key.
[[noreturn]] void refuse(std::string_view text, Purpose purpose) {
  if (has_base64_key(text))
    throw std::runtime_error(
        "this looks like base64: a key is written in 32 hex digits here (0-9, A-F)");
  std::string_view wrong = key_like(text);
  constexpr std::size_t line_of_a_key = key_digits * 3 / 4;
  if (std::string_view line = wrong.substr(0, wrong.find('\n'));
      line.size() < wrong.size() && digits_in(line) >= line_of_a_key)
    wrong = EncryptionKey::parse(line).key ? wrong.substr(line.size()) : line;
  if (wrong.empty()) throw std::runtime_error("there is no key: it has 32 hex digits (0-9, A-F)");
  (void)parse<EncryptionKey>(wrong, purpose);
  throw std::runtime_error(
      "64 hex digits on several lines: write each key on one line, with its name in front");
}

/// The keys that a text holds, by purpose; empty views where it holds none.
struct Found {
  std::string_view encryption, authentication;
  bool is_named = false;

  std::string_view& of(Purpose purpose) {
    return purpose == Purpose::authentication ? authentication : encryption;
  }
  void take(Purpose purpose, std::string_view key) {
    std::string_view& place = of(purpose);
    if (!place.empty() && place != key)
      throw std::runtime_error(fmt::format(
          "there are two {} keys: give one meter's keys at a time", name_of(purpose)));
    place = key;
  }
};

/// Keys without names: the encryption key, then the authentication key.
void take_unnamed(const std::vector<std::string_view>& keys, Found& found) {
  if (keys.size() > 2)
    throw std::runtime_error("there are more than two keys: give one meter's keys at a time");
  if (!keys.empty()) found.take(Purpose::encryption, keys[0]);
  if (keys.size() == 2) found.take(Purpose::authentication, keys[1]);
}

/// `unnamed`: what a key without a name is for, to say what is wrong with it.
Found find_keys(std::string_view text, Purpose unnamed) {
  const std::vector<Part> parts = cut_at_names(text);
  const auto before = keys_in(parts[0].text);
  Found found;
  for (const Part& part : parts) {
    const auto keys = keys_in(part.text);
    if (const auto broken = broken_key(part.text, keys); !broken.empty())
      refuse(broken, part.purpose == Purpose::unnamed ? unnamed : part.purpose);
    if (part.purpose == Purpose::unnamed) continue;
    for (const std::string_view key : keys) found.take(part.purpose, key);
  }
  found.is_named = !found.encryption.empty() || !found.authentication.empty();
  if (found.is_named && !before.empty())
    throw std::runtime_error("a key stands before the first name: write each key's name before it");
  if (!found.is_named && before.size() == 1 && parts.size() == 2) {  // "0011… (AK)"
    found.take(parts[1].purpose, before[0]);
  } else if (!found.is_named) {
    take_unnamed(before, found);
  }
  return found;
}

}  // namespace

MeterKeys read_key_text(std::string_view text) {
  Secret plain(text.size());
  write_plain(text, plain);
  const Found found = find_keys(plain.view(), Purpose::encryption);
  if (found.encryption.empty() && !found.authentication.empty())
    throw std::runtime_error(
        "this is an authentication key alone: the encryption key (GUEK, EK, GPK60) is needed");
  if (found.encryption.empty()) refuse(plain.view(), Purpose::encryption);
  MeterKeys keys{parse<EncryptionKey>(found.encryption, Purpose::encryption), std::nullopt};
  if (!found.authentication.empty())
    keys.authentication =
        parse<AuthenticationKey>(found.authentication, Purpose::authentication);
  return keys;
}

std::optional<AuthenticationKey> read_authentication_key(std::string_view text) {
  Secret plain(text.size());
  write_plain(text, plain);
  if (words_of(plain.view()).empty()) return std::nullopt;
  Found found = find_keys(plain.view(), Purpose::authentication);
  if (!found.is_named) std::swap(found.encryption, found.authentication);
  if (!found.encryption.empty())
    throw std::runtime_error("expected one authentication key (GAK, AK, GPK61)");
  if (found.authentication.empty()) refuse(plain.view(), Purpose::authentication);
  return parse<AuthenticationKey>(found.authentication, Purpose::authentication);
}

}  // namespace smartmeterctl
