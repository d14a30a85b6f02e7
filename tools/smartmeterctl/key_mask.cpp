// SPDX-License-Identifier: Apache-2.0
// mask_keys(): a key that was typed on the command line by mistake is not repeated.
#include "tools/smartmeterctl/key_mask.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "meter/base/hex.hpp"

namespace smartmeterctl {
namespace {

constexpr std::size_t key_digits = 32;

bool is_hex(char c) {
  return meter::hex_value(c) >= 0;
}

bool may_be_in_key(char c) {
  return is_hex(c) || std::string_view(" \t\n-:.").find(c) != std::string_view::npos;
}

std::size_t count_digits(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, is_hex));
}

/// The runs of an argument that are long enough to be a key.
void find_within(std::string_view argument, std::vector<std::string>& found) {
  while (!argument.empty()) {
    const auto end = std::ranges::find_if_not(argument, may_be_in_key);
    std::string_view run = argument.substr(0, static_cast<std::size_t>(end - argument.begin()));
    argument.remove_prefix(std::min(run.size() + 1, argument.size()));
    while (!run.empty() && !is_hex(run.front())) run.remove_prefix(1);
    while (!run.empty() && !is_hex(run.back())) run.remove_suffix(1);
    if (count_digits(run) >= key_digits) found.emplace_back(run);
  }
}

/// Groups of digits that the shell has taken apart.
void find_across(const std::vector<std::string>& arguments, std::vector<std::string>& found) {
  const auto is_group = [](const std::string& argument) {
    return count_digits(argument) > 0 && std::ranges::all_of(argument, may_be_in_key);
  };
  for (auto first = arguments.begin(); first != arguments.end();) {
    const auto last = std::find_if_not(first, arguments.end(), is_group);
    std::size_t digits = 0;
    for (auto one = first; one != last; ++one) digits += count_digits(*one);
    if (digits >= key_digits) found.insert(found.end(), first, last);
    first = last == arguments.end() ? last : last + 1;
  }
}

}  // namespace

std::string mask_keys(std::string text, const std::vector<std::string>& arguments) {
  std::vector<std::string> keys;
  for (const std::string& argument : arguments) find_within(argument, keys);
  find_across(arguments, keys);
  // A short one may be part of a long one.
  std::ranges::sort(keys, std::ranges::greater(), &std::string::size);
  bool is_masked = false;
  for (const std::string& key : keys)
    for (std::size_t at = 0; (at = text.find(key, at)) != text.npos; is_masked = true)
      text.replace(at, key.size(), "…");
  while (text.ends_with('\n')) text.pop_back();
  if (!is_masked) return text;
  return text +
         "\nA key must not be typed on the command line, where others can see it: smartmeterctl "
         "asks for it.";
}

}  // namespace smartmeterctl
