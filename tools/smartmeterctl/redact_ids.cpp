// SPDX-License-Identifier: Apache-2.0
// Pseudonyms: made character by character, and every form in which a meter may send an id.
#include "tools/smartmeterctl/redact_ids.hpp"

#include <algorithm>
#include <charconv>

#include "meter/base/hex.hpp"
#include "meter/sml/vendor_rules.hpp"

namespace smartmeterctl::redact {
namespace {

using meter::Bytes;
using meter::text_of;
using meter::u8;

bool is_digit(std::byte octet) {
  return u8(octet) >= '0' && u8(octet) <= '9';
}
bool is_upper(std::byte octet) {
  return u8(octet) >= 'A' && u8(octet) <= 'Z';
}
bool is_lower(std::byte octet) {
  return u8(octet) >= 'a' && u8(octet) <= 'z';
}

std::byte lowered(std::byte octet) {
  return is_upper(octet) ? octet | std::byte{0x20} : octet;
}

Octets hex_of(Bytes octets, std::string_view digits) {
  Octets text;
  for (const std::byte octet : octets) {
    text.push_back(static_cast<std::byte>(digits[u8(octet) >> 4]));
    text.push_back(static_cast<std::byte>(digits[u8(octet) & 15]));
  }
  return text;
}

Octets reversed(Octets octets) {
  std::ranges::reverse(octets);
  return octets;
}

std::optional<std::uint64_t> number_of(Bytes digits) {
  std::uint64_t value = 0;
  const std::string_view text = text_of(digits);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Octets big_endian(std::uint64_t value, std::size_t size) {
  Octets octets(size);
  for (std::size_t i = size; i-- > 0; value >>= 8) octets[i] = static_cast<std::byte>(value & 0xff);
  return octets;
}

/// Two digits an octet, the high ones first.
Octets bcd(Octets digits, std::size_t size) {
  if (digits.size() < 2 * size)
    digits.insert(digits.begin(), 2 * size - digits.size(), std::byte{'0'});
  const auto digit = [&digits](std::size_t i) { return u8(digits[i]) & 15; };
  Octets octets(size);
  for (std::size_t i = 0; i < size; ++i)
    octets[i] = static_cast<std::byte>(digit(2 * i) << 4 | digit(2 * i + 1));
  return octets;
}

/// How much of a text names the maker and the type of a meter.
std::size_t type_size(Bytes text) {
  const auto letters = [text](std::size_t at, std::size_t count) {
    return text.size() >= at + count && std::ranges::all_of(text.subspan(at, count), is_upper);
  };
  const auto digit = [text](std::size_t at) { return text.size() > at && is_digit(text[at]); };
  if (text.size() == 16 && letters(0, 3)) return 8;  // logical device name: maker, type, function
  if (text.size() == 14 && digit(0) && letters(1, 3)) return 6;  // DIN 43863-5
  if (text.size() == 17 && letters(0, 1) && digit(1)) return 5;  // DSMR
  if (letters(0, 3) && digit(3)) return 3;
  if (digit(0) && letters(1, 3) && digit(4)) return 4;
  if (letters(0, 1) && digit(1)) return 1;
  return 0;
}

/// Octets in front that name maker and type.
std::size_t kept_size(const Id& id) {
  if (id.is_message || id.kind == Id::Kind::digits) return 0;
  if (id.kind == Id::Kind::text) return type_size(id.value);
  const meter::sml::ServerId server(id.value);
  if (server.is_din()) return 6;
  return server.manufacturer().empty() ? 0 : 4;
}

/// 32 bits hold every number that is less.
constexpr std::size_t free_digits_max = 9;

/// Another octet of the same kind.
std::byte another(const Id& id, std::byte octet, bool is_hex, bool is_bcd, const Random& random) {
  const auto pick = [&random](char first, unsigned count) {
    return static_cast<std::byte>(static_cast<unsigned>(first) + random(count));
  };
  if (id.kind == Id::Kind::octets) {
    if (is_bcd) return static_cast<std::byte>(random(10) << 4 | random(10));
    // No octet with which a link layer's frame begins, ends or is escaped.
    constexpr unsigned first = 0x80, count = 0x50;
    return static_cast<std::byte>(first + random(count));
  }
  if (is_digit(octet)) return pick('0', 10);
  if (is_upper(octet)) return pick('A', is_hex ? 6 : 26);
  if (is_lower(octet)) return pick('a', is_hex ? 6 : 26);
  return octet;
}

}  // namespace

Pseudonyms::Pseudonyms(std::vector<Id> ids, const Random& random) : random_(random) {
  // Short ones first: they may be parts of longer ones.
  std::ranges::stable_sort(ids, {}, [](const Id& id) { return id.value.size(); });
  for (const Id& id : ids) name(id);
  std::ranges::stable_sort(forms_, std::ranges::greater(),
                           [](const Form& form) { return form.from.size(); });
}

const Form* Pseudonyms::find(Bytes octets) const {
  const auto found = std::ranges::find_if(
      forms_, [octets](const Form& form) { return std::ranges::equal(form.from, octets); });
  return found != forms_.end() ? &*found : nullptr;
}

void Pseudonyms::name(const Id& id) {
  if (const Form* known = find(id.value)) {
    // Perhaps in a form that has others of its own.
    const Named again{id, known->to};
    return add_forms(again, known->id);
  }
  constexpr int attempts = 100;
  Octets pseudonym = attempt(id);
  for (int i = 0; i < attempts && !fits(id, pseudonym); ++i) pseudonym = attempt(id);
  if (pseudonym == id.value) return;  // neither digits nor letters
  ids_.push_back({id, std::move(pseudonym)});
  add_forms(ids_.back(), ids_.size() - 1);
}

bool Pseudonyms::fits(const Id& id, const Octets& pseudonym) const {
  if (pseudonym == id.value) return false;
  if (id.server_id.empty()) return true;
  constexpr std::size_t serial_size = 4;
  Octets server = id.server_id;
  const auto serial = number_of(pseudonym);
  std::ranges::copy(big_endian(serial.value_or(0), serial_size), server.end() - serial_size);
  return meter::sml::find_vendor_rule(meter::sml::ServerId(server)) ==
         meter::sml::find_vendor_rule(meter::sml::ServerId(id.server_id));
}

/// Ids that have a pseudonym already, within this one.
void Pseudonyms::fill_in_known(const Id& id, Octets& pseudonym, std::vector<bool>& is_set) const {
  constexpr std::size_t size_min = 4;
  const auto fill = [&](const Octets& from, const Octets& to) {
    if (from.size() < size_min || from.size() > id.value.size()) return;
    for (std::size_t at = 0; at + from.size() <= id.value.size(); ++at) {
      if (!std::equal(from.begin(), from.end(), id.value.begin() + static_cast<std::ptrdiff_t>(at)))
        continue;
      if (std::find(is_set.begin() + static_cast<std::ptrdiff_t>(at),
                    is_set.begin() + static_cast<std::ptrdiff_t>(at + from.size()),
                    true) != is_set.begin() + static_cast<std::ptrdiff_t>(at + from.size()))
        continue;
      std::ranges::copy(to, pseudonym.begin() + static_cast<std::ptrdiff_t>(at));
      std::fill_n(is_set.begin() + static_cast<std::ptrdiff_t>(at), from.size(), true);
    }
  };
  for (auto known = ids_.rbegin(); known != ids_.rend(); ++known) {
    const Octets& digits = known->id.value;
    if (known->id.kind == Id::Kind::digits && id.kind == Id::Kind::octets) {
      const auto from = number_of(digits), to = number_of(known->pseudonym);
      if (from && to && *from <= UINT32_MAX && *to <= UINT32_MAX)
        fill(big_endian(*from, 4), big_endian(*to, 4));
    } else if ((known->id.kind == Id::Kind::octets) == (id.kind == Id::Kind::octets)) {
      fill(digits, known->pseudonym);
    }
  }
}

Octets Pseudonyms::attempt(const Id& id) const {
  Octets pseudonym = id.value;
  std::vector<bool> is_set(id.value.size(), false);
  fill_in_known(id, pseudonym, is_set);
  std::fill_n(is_set.begin(), kept_size(id), true);
  const auto is_hex_digit = [](std::byte o) {
    return meter::hex_value(static_cast<char>(u8(o))) >= 0;
  };
  const auto is_decimal_pair = [](std::byte o) { return u8(o) >> 4 <= 9 && (u8(o) & 15) <= 9; };
  const bool is_hex = !id.is_message && std::ranges::all_of(id.value, is_hex_digit);
  const bool is_bcd = std::ranges::all_of(id.value, is_decimal_pair);
  for (std::size_t i = 0; i < pseudonym.size(); ++i)
    if (!is_set[i]) pseudonym[i] = another(id, id.value[i], is_hex, is_bcd, random_);
  // A number keeps its size, also in 32 bits.
  if (id.kind == Id::Kind::digits && pseudonym.size() > free_digits_max)
    std::copy_n(id.value.begin(), pseudonym.size() - free_digits_max, pseudonym.begin());
  if (id.kind == Id::Kind::digits && pseudonym[0] == std::byte{'0'} &&
      id.value[0] != std::byte{'0'})
    pseudonym[0] = id.value[0];
  return pseudonym;
}

void Pseudonyms::add_forms(const Named& named, std::size_t index) {
  constexpr std::size_t telling_size = 4, telling_text_size = 6, telling_variety = 3;
  const auto add = [&](Octets from, Octets to) {
    Form form{std::move(from), std::move(to), index, true, false};
    Octets different = form.from;
    std::ranges::sort(different);
    const auto repeated = std::ranges::unique(different);
    const std::size_t variety = different.size() - repeated.size();
    const bool is_text = std::ranges::all_of(form.from, meter::is_printable);
    form.is_digits = std::ranges::all_of(form.from, is_digit);
    form.is_telling = variety >= telling_variety &&
                      form.from.size() >= (is_text ? telling_text_size : telling_size);
    if (form.from != form.to && find(form.from) == nullptr) forms_.push_back(std::move(form));
  };
  const auto add_each = [&](const auto& make) { add(make(named.id.value), make(named.pseudonym)); };
  add_each([](const Octets& value) { return value; });
  add_each([](const Octets& value) { return hex_of(value, meter::hex_upper); });
  add_each([](const Octets& value) { return hex_of(value, meter::hex_lower); });
  add_each([](const Octets& value) { return reversed(value); });
  if (named.id.kind == Id::Kind::text)
    add_each([](Octets value) {
      std::ranges::transform(value, value.begin(), lowered);
      return value;
    });
  if (named.id.kind != Id::Kind::digits) return;
  for (const std::size_t size : {4u, 6u}) {
    if (named.id.value.size() > 2 * size) continue;
    add_each([size](const Octets& value) { return bcd(value, size); });
    add_each([size](const Octets& value) { return reversed(bcd(value, size)); });
  }
  const auto from = number_of(named.id.value), to = number_of(named.pseudonym);
  if (!from || !to || *from > UINT32_MAX || *to > UINT32_MAX) return;
  add(big_endian(*from, 4), big_endian(*to, 4));
  add(reversed(big_endian(*from, 4)), reversed(big_endian(*to, 4)));
}

bool stands_at(const Form& form, Bytes octets, std::size_t at) {
  if (at + form.from.size() > octets.size()) return false;
  if (!std::ranges::equal(octets.subspan(at, form.from.size()), form.from)) return false;
  if (!form.is_digits) return true;
  const auto goes_on = [octets](std::size_t i) {
    return i < octets.size() && (is_digit(octets[i]) || u8(octets[i]) == '.');
  };
  return !goes_on(at + form.from.size()) && (at == 0 || !goes_on(at - 1));
}

std::optional<std::size_t> find_form(const Form& form, Bytes octets, std::size_t from) {
  const std::string_view text = text_of(octets);
  for (std::size_t at = text.find(text_of(form.from), from); at != text.npos;
       at = text.find(text_of(form.from), at + 1))
    if (stands_at(form, octets, at)) return at;
  return std::nullopt;
}

}  // namespace smartmeterctl::redact
