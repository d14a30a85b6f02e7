// SPDX-License-Identifier: Apache-2.0
// Style: nothing that a meter calls itself harms a terminal, and columns line up by what is seen.
#include "tools/smartmeterctl/style.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

using namespace smartmeterctl;

TEST(Style, TextOfOthersIsSafe) {
  EXPECT_EQ(safe("Zähler 1"), "Zähler 1");
  EXPECT_EQ(safe("a\033[2Jb"), "a\uFFFD[2Jb");
  EXPECT_EQ(safe("a\rb\nc\td\177e"), "a\uFFFDb\uFFFDc\uFFFDd\uFFFDe");
  EXPECT_EQ(safe("\xc2\x9b"
                 "2J"),
            "\uFFFD2J");  // CSI of C1
  EXPECT_EQ(safe("\xff\xc3(\xed\xa0\x80"), "\uFFFD\uFFFD(\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(safe("a\u202Eb\u2066c\u200Bd\uFEFF"), "a\uFFFDb\uFFFDc\uFFFDd\uFFFD");
  EXPECT_EQ(safe("⚡\uFE0F"), "⚡");
  EXPECT_EQ(safe(std::string_view("a\0b", 3)), "a\uFFFDb");
  EXPECT_EQ(safe_lines("a\nb\033\n"), "a\nb\uFFFD\n");
}

// Unicode Standard Annex 11: East Asian wide letters take two columns, combining marks none.
TEST(Style, Width) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("Zähler"), 6u);
  EXPECT_EQ(display_width("Za\u0308hler"), 6u);
  EXPECT_EQ(display_width("電力"), 4u);
  EXPECT_EQ(display_width("▁█…³"), 4u);
}

TEST(Style, WithoutUnicode) {
  EXPECT_EQ(in_ascii("a − 3 m³ … ▲ █▀█▄▁"), "a - 3 m3 . ^ #\"#__");
  for (const char* text : {"Küche", "漢字", "e\u0301", "°C", "\uFFFD"})
    EXPECT_EQ(in_ascii(text).size(), display_width(text)) << text;
}

TEST(Style, CutAndPadded) {
  EXPECT_EQ(cut("Zähler", 6), "Zähler");
  EXPECT_EQ(cut("Zähler", 5), "Zähl…");
  EXPECT_EQ(cut("電力計", 4), "電…");
  EXPECT_EQ(cut("電力計", 1), "…");
  EXPECT_EQ(cut("x", 0), "");
  EXPECT_EQ(padded("Zähler", 8), "Zähler  ");
  EXPECT_EQ(padded("7", 3, Align::right), "  7");
  EXPECT_EQ(padded("電力計", 4), "電… ");
}

TEST(Style, WrappedAtBlanksOnly) {
  EXPECT_EQ(wrapped("one two three", 9, 2), (std::vector<std::string>{"one two", "  three"}));
  EXPECT_EQ(wrapped("run \"sudo smartmeterctl key add house\" then", 20, 0),
            (std::vector<std::string>{"run", "\"sudo smartmeterctl key add house\"", "then"}));
  EXPECT_EQ(wrapped("no limit at all", 0, 4), (std::vector<std::string>{"no limit at all"}));
  EXPECT_EQ(wrapped("", 10, 4), (std::vector<std::string>{""}));
}

TEST(Style, Tones) {
  EXPECT_EQ(toned("x", Tone::bad, true), "\033[31mx\033[0m");
  EXPECT_EQ(toned("x\033[0m", Tone::bad, true), "\033[31mx\uFFFD[0m\033[0m");
  EXPECT_EQ(toned("x", Tone::bad, false), "x");
  EXPECT_EQ(toned("x", Tone::plain, true), "x");
  EXPECT_FALSE(has_colours());  // standard output of a test is no terminal
}

namespace {

std::vector<std::string> adapters(unsigned columns, bool colours) {
  Table table({{"ADAPTER"}, {"LINE", 2}, {"N", 1, 0, Align::right}, {"PROBLEM", 0, 10}});
  table.add({"/dev/ttyUSB0", "2400-8E1", "7", {"none", Tone::good}});
  table.add({"Zähler 1", "-", "12345", {"telegrams arrive damaged", Tone::bad}});
  std::vector<std::string> lines;
  for (const Line& line : table.lines(columns)) lines.push_back(painted(line, colours));
  return lines;
}

}  // namespace

TEST(Style, TableLinesUp) {
  EXPECT_EQ(adapters(0, false), (std::vector<std::string>{
                                    "ADAPTER       LINE          N  PROBLEM",
                                    "/dev/ttyUSB0  2400-8E1      7  none",
                                    "Zähler 1      -         12345  telegrams arrive damaged",
                                }));
  EXPECT_EQ(adapters(0, true)[2],
            "Zähler 1      -         12345  \033[31mtelegrams arrive damaged\033[0m");
}

TEST(Style, TableThatIsTooWide) {
  EXPECT_EQ(adapters(46, false)[2], "Zähler 1      -         12345  telegrams arri…");
  EXPECT_EQ(adapters(40, false)[2], "Zähler 1      12345  telegrams arrive d…");
  EXPECT_EQ(adapters(25, false)[2], "Zähler 1      telegrams …");
  EXPECT_EQ(adapters(10, false)[1], "/dev/ttyU…");
}

TEST(Style, NoLineIsLongerThanTheTerminal) {
  std::mt19937 random(20260101);  // NOLINT(cert-msc51-cpp): the same texts every time
  const std::vector<std::string> pieces = {"Z",    "ä",      "電", "\u0308", "\033[31m", "\n",
                                           "\xff", "\u202E", " ",  "…",      "\"",       "😀"};
  const auto below = [&random](std::size_t limit) {
    return static_cast<unsigned>(random() % limit);
  };
  const auto text = [&] {
    std::string made;
    for (unsigned i = below(20); i > 0; --i) made += pieces[below(pieces.size())];
    return made;
  };
  for (unsigned columns = 1; columns <= 200; ++columns) {
    Table table({{text(), below(3), below(9)}, {text(), 2, 0, Align::right}, {text(), 1, 4}});
    for (int i = 0; i < 3; ++i) table.add({text(), {text(), Tone::bad}, text()});
    for (const Line& line : table.lines(columns)) {
      EXPECT_LE(display_width(line), columns);
      EXPECT_EQ(safe(painted(line, false)), painted(line, false));
    }
    EXPECT_LE(display_width(padded(text(), columns)), columns);
    EXPECT_EQ(display_width(padded(text(), columns, Align::right)), columns);
  }
}
