// SPDX-License-Identifier: Apache-2.0
// The view of watch: every line is exactly as wide as the terminal, whatever meters call themselves
// and however small it is, and what matters is to be read on it.
#include "tools/smartmeterctl/watch_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "tools/smartmeterctl/watch_graph.hpp"

using namespace smartmeterctl;
using testing::HasSubstr;
using testing::Not;

namespace {

constexpr std::uint64_t second_us = 1'000'000, now_us = 1'795'750'600 * second_us;

Value text(std::string words) {
  return {.held = std::move(words)};
}

Value readings(const std::map<std::string, double>& numbers) {
  Value::Map map;
  for (const auto& [name, number] : numbers) map[name].held = number;
  return {.held = std::move(map)};
}

Object object(const std::string& path, const char* interface, Value::Map properties) {
  return {path, {.held = Value::Map{{interface, {.held = std::move(properties)}}}}};
}

Object adapter(const std::string& path, const std::string& device, const std::string& state,
               const std::string& problem) {
  Value::Map errors{{"decrypt", {.held = std::uint64_t{118}}}};
  return object(path, "org.smartmeterd1.Adapter",
                {{"Device", text(device)},
                 {"State", text(state)},
                 {"Problem", text(problem)},
                 {"LineSettings", text("2400-8E1")},
                 {"Protocol", text("mbus")},
                 {"TelegramsReceived", {.held = std::uint64_t{19}}},
                 {"Errors", {.held = problem == "none" ? Value::Map{} : errors}},
                 {"LastActivity", {.held = now_us - second_us}}});
}

Object meter(const std::string& path, const std::string& id, Value values,
             const std::string& parent = "/", const std::string& medium = "electricity") {
  return object(path, "org.smartmeterd1.Meter",
                {{"Id", text(id)},
                 {"Name", text("Zähler 1")},
                 {"Medium", text(medium)},
                 {"Manufacturer", text("KFM")},
                 {"Adapter", text("/a")},
                 {"Parent", text(parent)},
                 {"Encrypted", {.held = true}},
                 {"Authenticated", text("yes")},
                 {"Interval", {.held = 5.0}},
                 {"LastUpdate", {.held = now_us - 3 * second_us}},
                 {"Readings", std::move(values)}});
}

const std::map<std::string, double> house = {
    {"power_import", 1530},         {"power_export", 0},       {"voltage_l1", 230.1},
    {"voltage_l2", 229.9},          {"current_l1", 3.46},      {"energy_import", 12092.942},
    {"energy_import_t1", 7860.478}, {"energy_export", 823.13}, {"tariff", 1},
    {"energy_import_t2", 4232.464}, {"power_factor", 0.962}};

WatchState one_meter() {
  WatchState state;
  state.objects = {adapter("/a", "/dev/ttyUSB0", "synced", "none"),
                   meter("/m", "181220000009", readings(house)),
                   meter("/g", "G0046", readings({{"volume", 13.092}}), "/m", "gas"),
                   object("/b", "org.smartmeterd1.Publisher",
                          {{"Broker", text("127.0.0.1:1883")}, {"State", text("online")}})};
  return state;
}

std::vector<std::string> drawn(const WatchState& state, WatchSize size) {
  std::vector<std::string> lines;
  for (const Line& line : watch_lines(state, size, now_us, false))
    lines.push_back(painted(line, false));
  return lines;
}

std::string screen(const WatchState& state, WatchSize size) {
  const auto lines = drawn(state, size);
  return std::accumulate(
      lines.begin(), lines.end(), std::string(),
      [](std::string all, const std::string& line) { return std::move(all) + line + '\n'; });
}

constexpr WatchSize usual{80, 24};

}  // namespace

TEST(WatchView, OneMeter) {
  const std::string seen = screen(one_meter(), usual);
  for (const char* words :
       {"181220000009  Zähler 1  KFM electricity", "3 s ago", "/dev/ttyUSB0  synced",
        "encrypted, verified", "no errors", "19 telegrams", "import 1530 W  export 0 W",
        "from the grid", "L1  230.1  3.46", "L2  229.9     -", "12092.942", "823.13",
        "tariff 1, now", "gas  G0046", "13.092 m³", "power_factor 0.962", "127.0.0.1:1883 online"})
    EXPECT_THAT(seen, HasSubstr(words));
  EXPECT_THAT(seen, Not(HasSubstr("L3")));
}

TEST(WatchView, ToTheGrid) {
  WatchState state = one_meter();
  ASSERT_TRUE(
      state.take({"/m", now_us, 7, readings({{"power_import", 0}, {"power_export", 2750}})}));
  const std::string seen = screen(state, usual);
  EXPECT_THAT(seen, HasSubstr("to the grid  import 0 W  export 2750 W"));
  EXPECT_THAT(seen, HasSubstr("-2750 to 0 W"));
  EXPECT_THAT(seen, HasSubstr("0 s ago"));
  EXPECT_THAT(seen, HasSubstr("L1  230.1  3.46"));  // what the telegram did not say stays
  EXPECT_FALSE(state.take({"/nobody", now_us, 8, readings({})}));
}

TEST(WatchView, HeatHasNoGrid) {
  WatchState state;
  state.objects = {meter("/h", "HEAT", readings({{"power", 4200}, {"volume", 12.5}}), "/", "heat")};
  const std::string seen = screen(state, usual);
  EXPECT_THAT(seen, Not(HasSubstr("grid")));
  EXPECT_THAT(seen, HasSubstr("volume 12.5 m³"));
  EXPECT_THAT(seen, HasSubstr("█ █ ▀▀█ █▀█ █▀█"));  // 4200 in large digits
}

TEST(WatchView, WhatIsWrong) {
  WatchState state;
  state.objects = {adapter("/a", "/dev/ttyUSB0", "probing", "key-missing")};
  std::string seen = screen(state, usual);
  EXPECT_THAT(seen, HasSubstr("/dev/ttyUSB0"));
  EXPECT_THAT(seen, HasSubstr("encrypted, and no key for this meter"));
  EXPECT_THAT(seen, HasSubstr("\"sudo smartmeterctl key add house\""));
  EXPECT_THAT(seen, HasSubstr("decrypt 118"));
  EXPECT_THAT(seen, HasSubstr("no broker"));
  state.is_there = false;
  EXPECT_THAT(screen(state, usual), HasSubstr("smartmeterd has stopped, waiting"));
  state = {};
  EXPECT_THAT(screen(state, usual), HasSubstr("No adapter yet"));
  state.only = "/gone";
  EXPECT_THAT(screen(state, usual), HasSubstr("The meter has gone"));
}

TEST(WatchView, Small) {
  EXPECT_THAT(screen(one_meter(), {39, 10}), HasSubstr("too small: 40×10"));
  EXPECT_THAT(screen(one_meter(), {40, 9}), HasSubstr("too small: 40×10"));
  const std::string seen = screen(one_meter(), watch_size_min);
  EXPECT_THAT(seen, HasSubstr("181220000009"));
  EXPECT_THAT(seen, HasSubstr("1530 W"));
}

TEST(WatchView, SeveralMetersAndMoving) {
  WatchState state;
  state.objects = {adapter("/a", "/dev/ttyUSB0", "synced", "none")};
  for (int i = 10; i < 60; ++i)
    state.objects.push_back(meter("/m" + std::to_string(i), "METER" + std::to_string(i),
                                  readings({{"power_import", i}})));
  state.objects.push_back(adapter("/z", "/dev/ttyUSB9", "silent", "no-bytes"));
  EXPECT_EQ(state.entries().size(), 51u);
  EXPECT_THAT(screen(state, usual), HasSubstr("import 10 W"));
  state.move(-1);
  EXPECT_EQ(state.chosen, "/m10");
  state.move(1);
  EXPECT_EQ(state.chosen, "/m11");
  EXPECT_THAT(screen(state, usual), HasSubstr("import 11 W"));
  state.move(1000);
  EXPECT_EQ(state.chosen, "/z");
  EXPECT_THAT(screen(state, usual), HasSubstr("51 of 51"));
  EXPECT_THAT(screen(state, usual), HasSubstr("check the plug"));
  state.move_around();
  EXPECT_EQ(state.chosen, "/m10");
  state.chosen = "/gone";
  EXPECT_THAT(screen(state, usual), HasSubstr("1 of 51"));
}

TEST(WatchView, EveryLineIsExactlyAsWideAsTheTerminal) {
  std::mt19937 random(20260101);  // NOLINT(cert-msc51-cpp): the same names every time
  const std::vector<std::string> pieces = {"Z",          "ä",    "電",   "\u0308", "\033[31m",
                                           "\033]0;x\a", "\n",   "\xff", "\u202E", " ",
                                           "…",          "\x9b", "😀"};
  const auto below = [&](std::size_t limit) { return static_cast<unsigned>(random() % limit); };
  const auto name = [&] {
    std::string made;
    for (unsigned i = below(30); i > 0; --i) made += pieces[below(pieces.size())];
    return made;
  };
  constexpr std::array<const char*, 3> problems = {"none", "key-wrong", "what?"};
  constexpr std::array<double, 6> numbers = {
      0, -1, 1e300, 0.001, std::numeric_limits<double>::infinity(), 99999.5};
  for (unsigned columns = 1; columns <= 200; ++columns)
    for (const unsigned rows : {1u + below(60), 1u + columns % 60}) {
      WatchState state;
      state.objects = {adapter("/a", name(), name(), problems[below(problems.size())])};
      for (unsigned i = below(6); i > 0; --i) {
        auto values = house;
        values["power_import"] = numbers[below(numbers.size())];
        values[name()] = numbers[below(numbers.size())];
        const std::string path = "/m" + std::to_string(i);
        state.objects.push_back(
            meter(path, name(), readings(values), below(3) == 0 ? "/m1" : "/", name()));
        state.take({path, now_us, 1, readings(values)});
      }
      state.shows_help = below(2) == 0;
      state.move(below(5));
      const auto lines = watch_lines(state, {columns, rows}, now_us, below(2) == 0);
      ASSERT_EQ(lines.size(), rows);
      for (const Line& line : lines) {
        const std::string shown = painted(line, false);
        EXPECT_EQ(display_width(shown), columns) << columns << " × " << rows;
        for (const Cell& cell : line) EXPECT_EQ(safe(cell.text), cell.text);
      }
    }
}

TEST(PowerTrace, PartsOfTheLastMinutes) {
  PowerTrace trace;
  constexpr auto span = PowerTrace::span_us;
  const std::uint64_t start = now_us / span * span;
  trace.add(start + 1, readings({{"power_import", 100}}));
  trace.add(start + 2, readings({{"power_import", 300}, {"power_export", 0}}));
  trace.add(start + 3, readings({{"energy_import", 7}}));  // no power: nothing to note
  trace.add(start + span / 2, readings({{"power_export", 50}}));
  const auto means = trace.means(4, start + span - 1, span / 4);
  EXPECT_EQ(means[0], 200);
  EXPECT_EQ(means[1], 300);  // still
  EXPECT_EQ(means[2], -50);
  EXPECT_EQ(means[3], -50);
  EXPECT_TRUE(std::isnan(trace.means(4, start + span - 1, 1)[3]));
  for (std::uint64_t i = 0; i < 2 * PowerTrace::points_max; ++i)
    trace.add(start + span + i, readings({{"power_net", 1}}));
  EXPECT_EQ(trace.means(1, start + 2 * span - 1, 0)[0], 1);
}

namespace {

std::vector<std::string> graph(const std::vector<double>& values, unsigned rows, bool coarse) {
  std::vector<std::string> lines;
  for (const Line& line : spark(values, rows, coarse)) lines.push_back(painted(line, false));
  return lines;
}

}  // namespace

TEST(Spark, OneAndTwoSides) {
  const double gap = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(graph({0, 1, 4, 8, gap}, 1, false), (std::vector<std::string>{"▁▁▄█ "}));
  EXPECT_EQ(graph({0, 8, 16}, 2, false), (std::vector<std::string>{"  █", "▁██"}));
  EXPECT_EQ(graph({8, -8, -1, 4}, 2, false), (std::vector<std::string>{"█  ▄", " █▔ "}));
  EXPECT_EQ(graph({-8, -4}, 1, false), (std::vector<std::string>{"█▀"}));
  EXPECT_EQ(graph({0, 4, 8}, 1, true), (std::vector<std::string>{"_▄█"}));
  EXPECT_EQ(graph({}, 3, true), (std::vector<std::string>{"", "", ""}));
}

TEST(LargeDigits, AreAsWideAsTheySay) {
  for (const std::string& row : large_digits("0123456789"))
    EXPECT_EQ(display_width(row), 10 * large_digit_width);
}
