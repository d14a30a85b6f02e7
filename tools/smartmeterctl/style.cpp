// SPDX-License-Identifier: Apache-2.0
// The one look of what smartmeterctl prints for people: tones, tables, headings, absent values.
#include "tools/smartmeterctl/style.hpp"

#include <fmt/core.h>
#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdlib>
#include <cwchar>
#include <numeric>
#include <utility>

#include "meter/telegram_json.hpp"

namespace smartmeterctl {
namespace {

constexpr unsigned column_gap = 2;
constexpr std::string_view replacement = "\uFFFD", ellipsis = "…";

/// One character at the front of a text.
struct Letter {
  char32_t code;
  std::size_t size;  ///< in octets
};

Letter letter(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t size = meter::utf8_sequence(text);
  if (size == 0) return {0xfffd, 1};
  if (size == 1) return {at(0), 1};
  char32_t code = at(0) & (0xffu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) code = code << 6 | (at(i) & 0x3fu);
  return {code, size};
}

bool has_utf8() {
  static const bool has = std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr;
  return has;
}

/// -1: not for a terminal.
int width_of(char32_t code) {
  if (code >= ' ' && code <= '~') return 1;
  if (code < 0xa0) return -1;  // C0, DEL, C1
  return has_utf8() ? ::wcwidth(static_cast<wchar_t>(code)) : 1;
}

/// Cannot be seen, and may reorder or hide what can: directions, joiners, tags.
bool is_hidden(char32_t code) {
  constexpr std::array<std::pair<char32_t, char32_t>, 8> ranges = {{
      {0x061c, 0x061c},
      {0x180e, 0x180e},
      {0x200b, 0x200f},
      {0x202a, 0x202e},
      {0x2060, 0x206f},
      {0xfeff, 0xfeff},
      {0xfff9, 0xfffb},
      {0xe0000, 0xe0fff},
  }};
  return std::ranges::any_of(
      ranges, [code](const auto& range) { return code >= range.first && code <= range.second; });
}

/// Says how the letter before looks, and terminals differ in what they make of it.
bool is_selector(char32_t code) {
  return code == 0xad || (code >= 0xfe00 && code <= 0xfe0f);
}

std::string_view code_of(Tone tone) {
  switch (tone) {
    case Tone::strong:
      return "1";
    case Tone::good:
      return "32";
    case Tone::warn:
      return "33";
    case Tone::bad:
      return "31";
    case Tone::dim:
      return "2";
    case Tone::accent:
      return "36";
    case Tone::plain:
      break;
  }
  return {};
}

/// Octets of the longest beginning that takes at most so many columns.
std::size_t beginning(std::string_view text, unsigned columns) {
  std::size_t size = 0;
  for (unsigned taken = 0; size < text.size();) {
    const Letter next = letter(text.substr(size));
    taken += static_cast<unsigned>(std::max(width_of(next.code), 0));
    if (taken > columns) break;
    size += next.size;
  }
  return size;
}

/// The words of a text; what stands in quotes is one.
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    bool quoted = false;
    const auto end = std::ranges::find_if(text, [&quoted](char c) {
      quoted ^= c == '"';
      return c == ' ' && !quoted;
    });
    const auto size = static_cast<std::size_t>(end - text.begin());
    if (size > 0) words.push_back(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  return words;
}

}  // namespace

void use_utf8() {
  has_utf8();
}

bool has_colours() {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return terminal != nullptr && *terminal != '\0' && std::string_view(terminal) != "dumb" &&
         isatty(STDOUT_FILENO) != 0;
}

unsigned terminal_columns() {
  winsize window{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0) return 0;
  return window.ws_col;
}

std::string safe(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const Letter next = letter(text);
    const std::string_view octets = text.substr(0, next.size);
    text.remove_prefix(next.size);
    if (is_selector(next.code)) continue;
    const bool is_good = next.code != 0xfffd && width_of(next.code) >= 0 && !is_hidden(next.code);
    clean += is_good ? octets : replacement;
  }
  return clean;
}

std::string safe_lines(std::string_view text) {
  std::string clean;
  for (;;) {
    const std::size_t end = text.find('\n');
    clean += safe(text.substr(0, end));
    if (end == std::string_view::npos) return clean;
    clean += '\n';
    text.remove_prefix(end + 1);
  }
}

unsigned display_width(std::string_view text) {
  unsigned columns = 0;
  while (!text.empty()) {
    const Letter next = letter(text);
    columns += static_cast<unsigned>(std::max(width_of(next.code), 0));
    text.remove_prefix(next.size);
  }
  return columns;
}

std::string cut(std::string_view text, unsigned columns) {
  std::string whole = safe(text);
  if (display_width(whole) <= columns) return whole;
  if (columns == 0) return {};
  whole.resize(beginning(whole, columns - 1));
  return whole.append(ellipsis);
}

std::string padded(std::string_view text, unsigned columns, Align align) {
  std::string whole = cut(text, columns);
  const unsigned left = columns - std::min(display_width(whole), columns);
  whole.insert(align == Align::left ? whole.size() : 0, left, ' ');
  return whole;
}

std::vector<std::string> wrapped(std::string_view text, unsigned columns, unsigned indent) {
  const std::string whole = safe(text);
  std::vector<std::string> lines;
  std::string line;
  unsigned taken = indent;
  for (const std::string_view word : words_of(whole)) {
    const unsigned width = display_width(word);
    const bool is_first = taken == indent;
    if (!is_first && columns != 0 && taken + 1 + width > columns) {
      lines.push_back(std::exchange(line, std::string(indent, ' ')));
      taken = indent;
    } else if (!is_first) {
      line += ' ';
      ++taken;
    }
    line += word;
    taken += width;
  }
  lines.push_back(std::move(line));
  return lines;
}

std::string toned(std::string_view text, Tone tone, bool colours) {
  const std::string_view code = code_of(tone);
  if (!colours || code.empty() || text.empty()) return safe(text);
  return fmt::format("\033[{}m{}\033[0m", code, safe(text));
}

std::string bold(std::string_view text) {
  return toned(text, Tone::strong);
}

std::string or_dash(const std::string& text) {
  return text.empty() ? std::string(absent) : text;
}

std::string painted(const Line& line, bool colours) {
  std::string text;
  for (const Cell& cell : line) text += toned(cell.text, cell.tone, colours);
  return text;
}

unsigned display_width(const Line& line) {
  unsigned columns = 0;
  for (const Cell& cell : line) columns += display_width(cell.text);
  return columns;
}

bool is_utf8_locale() {
  locale_t locale = ::newlocale(LC_CTYPE_MASK, "", nullptr);
  if (locale == nullptr) return false;
  const bool is_utf8 = std::string_view(::nl_langinfo_l(CODESET, locale)) == "UTF-8";
  ::freelocale(locale);
  return is_utf8;
}

std::string in_ascii(std::string_view text) {
  constexpr std::array<std::pair<std::u32string_view, char>, 10> alike = {{{U"▀▔", '"'},
                                                                           {U"▁▂▃▄", '_'},
                                                                           {U"▅▆▇█", '#'},
                                                                           {U"▲↑", '^'},
                                                                           {U"▼↓", 'v'},
                                                                           {U"−", '-'},
                                                                           {U"×", 'x'},
                                                                           {U"²", '2'},
                                                                           {U"³", '3'},
                                                                           {U"…", '.'}}};
  std::string result;
  for (; !text.empty(); text.remove_prefix(letter(text).size)) {
    const char32_t code = letter(text).code;
    const auto found = std::ranges::find_if(
        alike, [code](const auto& entry) { return entry.first.find(code) != entry.first.npos; });
    if (code < 0x80)
      result += static_cast<char>(code);
    else if (found != alike.end())
      result += found->second;
    else
      result.append(static_cast<std::size_t>(std::max(width_of(code), 0)), '?');
  }
  return result;
}

Tone tone_of_state(std::string_view state) {
  constexpr std::array<std::pair<std::string_view, Tone>, 13> states = {{
      {"synced", Tone::good},
      {"probing", Tone::warn},
      {"silent", Tone::warn},
      {"waiting", Tone::warn},
      {"failed", Tone::bad},
      {"online", Tone::good},
      {"connecting", Tone::warn},
      {"disabled", Tone::dim},
      {"ok", Tone::good},
      {"not-needed", Tone::dim},
      {"missing", Tone::bad},
      {"wrong", Tone::bad},
      {"authentication-key-wrong", Tone::bad},
  }};
  const auto found = std::ranges::find(states, state, &decltype(states)::value_type::first);
  return found == states.end() ? Tone::plain : found->second;
}

Tone tone_of_problem(std::string_view problem) {
  return problem.empty() || problem == "none" ? Tone::good : Tone::bad;
}

/// What each column gets; 0: it is left out.
std::vector<unsigned> Table::widths(unsigned columns) const {
  std::vector<unsigned> natural, least;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    unsigned width = 0;
    for (const auto& row : rows_) width = std::max(width, display_width(safe(row[i].text)));
    if (width > 0 || rows_.empty()) width = std::max(width, display_width(safe(columns_[i].title)));
    natural.push_back(width);
    least.push_back(columns_[i].width_min == 0 ? width : std::min(width, columns_[i].width_min));
  }
  if (columns == 0) return natural;
  const auto total = [](const std::vector<unsigned>& widths) {
    const auto gaps = std::ranges::count_if(widths, [](unsigned width) { return width > 0; });
    return std::accumulate(widths.begin(), widths.end(), 0u) +
           column_gap * static_cast<unsigned>(std::max<std::ptrdiff_t>(gaps - 1, 0));
  };
  std::vector<unsigned> given = least;
  while (total(given) > columns) {
    std::size_t out = columns_.size();
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (given[i] > 0 && columns_[i].rank > (out < columns_.size() ? columns_[out].rank : 0))
        out = i;
    if (out == columns_.size()) break;  // what remains is cut with the line
    given[out] = 0;
  }
  for (std::size_t i = 0; i < given.size(); ++i)
    if (const unsigned all = total(given); given[i] > 0 && all < columns)
      given[i] = std::min(natural[i], given[i] + columns - all);
  return given;
}

std::vector<Line> Table::lines(unsigned columns) const {
  const std::vector<unsigned> given = widths(columns);
  std::vector<Line> lines;
  const auto add_line = [&](const std::vector<Cell>& row) {
    Line line;
    unsigned blanks = 0, taken = 0;  // before the next cell, with them
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (given[i] == 0 || (columns != 0 && taken >= columns)) continue;
      const unsigned room = columns == 0 ? given[i] : std::min(given[i], columns - taken);
      std::string text = cut(row[i].text, room);
      const unsigned fill = room - display_width(text);
      if (columns_[i].align == Align::right) blanks += fill;
      if (!text.empty()) {
        if (blanks > 0) line.emplace_back(std::string(std::exchange(blanks, 0), ' '));
        line.emplace_back(std::move(text), row[i].tone);
      }
      blanks += column_gap + (columns_[i].align == Align::left ? fill : 0);
      taken += column_gap + room;
    }
    lines.push_back(std::move(line));
  };
  std::vector<Cell> heading;
  for (const Column& column : columns_) heading.emplace_back(column.title, Tone::strong);
  add_line(heading);
  for (const auto& row : rows_) add_line(row);
  return lines;
}

void Table::print() const {
  for (const Line& line : lines(terminal_columns())) fmt::print("{}\n", painted(line));
}

}  // namespace smartmeterctl
