// SPDX-License-Identifier: Apache-2.0
// The one look of what smartmeterctl prints for people: tones, tables, headings, absent values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace smartmeterctl {

/// What a piece of text says beside its words; never the only place that says it.
enum class Tone : std::uint8_t {
  plain,
  strong,  ///< headings, and the value that matters most
  good,
  warn,
  bad,
  dim,     ///< ages, what is the same every time
  accent,  ///< commands, what is chosen
};

/// Whether standard output gets colours: it is a terminal that is not "dumb", and NO_COLOR is unset
/// or empty (https://no-color.org).
bool has_colours();
/// Columns of the terminal that standard output is; 0: it is none, and lines have no limit.
unsigned terminal_columns();

/// Has the C library work with UTF-8, whatever the user's locale is: only then it knows how wide
/// letters are. What measures text does so by itself; before ncurses starts, it must be said.
void use_utf8();

/// Whether the user's locale shows more than ASCII; the process's own says nothing of it.
bool is_utf8_locale();
/// The same text for one that does not, as wide: drawings by what looks alike, the rest as "?".
std::string in_ascii(std::string_view text);

/// Text of whomever (meters, brokers, devices, files) as it may go to a terminal: what is no UTF-8,
/// controls it, changes the direction of the text or cannot be seen becomes U+FFFD. Line ends, too.
std::string safe(std::string_view text);
/// The same for text of several lines: its line ends stay.
std::string safe_lines(std::string_view text);
/// Columns that safe text takes on a terminal: 2 for a wide letter, 0 for an accent of its own.
unsigned display_width(std::string_view text);
/// Safe text of at most so many columns, with "…" in place of what was cut off.
std::string cut(std::string_view text, unsigned columns);

enum class Align : std::uint8_t { left, right };
/// Safe text of exactly so many columns: filled up with blanks, or cut.
std::string padded(std::string_view text, unsigned columns, Align align = Align::left);
/// Safe text as it goes after a label of `indent` columns: lines that end at that many columns (0:
/// no limit), broken at blanks; never within "quotes", so that a command can be copied. Lines after
/// the first begin with `indent` blanks.
std::vector<std::string> wrapped(std::string_view text, unsigned columns, unsigned indent);

/// Safe text with the tone's colour and an end to it; without where there are no colours.
std::string toned(std::string_view text, Tone tone, bool colours = has_colours());
/// A heading.
std::string bold(std::string_view text);

/// How a value looks that is not there.
inline constexpr std::string_view absent = "-";
/// The text, or `absent` where it is empty.
std::string or_dash(const std::string& text);

/// The tone of a state of an adapter, a broker or a key: "synced" is good. Words that are not known
/// are plain.
Tone tone_of_state(std::string_view state);
/// "none" is good, every other problem of an adapter bad.
Tone tone_of_problem(std::string_view problem);

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
  Cell(std::string words, Tone its_tone = Tone::plain) : text(std::move(words)), tone(its_tone) {}
  Cell(const char* words, Tone its_tone = Tone::plain) : text(words), tone(its_tone) {}
};

/// Pieces of one line, one after another.
using Line = std::vector<Cell>;
std::string painted(const Line& line, bool colours = has_colours());
unsigned display_width(const Line& line);

struct Column {
  std::string title;
  /// Where lines are too long, whole columns are left out: those with the highest rank first; 0:
  /// never this one.
  unsigned rank = 0;
  /// Texts may be cut to this width before columns are left out; 0: they may not.
  unsigned width_min = 0;
  Align align = Align::left;
};

/// A table whose columns are as wide as their widest cell, two blanks between them; a column of
/// which every cell is empty is not there. Cells may hold any text.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as there are columns.
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  /// Heading and rows, none longer than `columns` (0: no limit).
  std::vector<Line> lines(unsigned columns) const;
  /// On standard output.
  void print() const;

 private:
  std::vector<unsigned> widths(unsigned columns) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace smartmeterctl
