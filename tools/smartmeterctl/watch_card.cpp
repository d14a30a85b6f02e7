// SPDX-License-Identifier: Apache-2.0
// Card: all that watch shows of one meter, or of an adapter without one.
#include "tools/smartmeterctl/watch_card.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/watch_graph.hpp"

namespace smartmeterctl {
namespace {

constexpr unsigned gap = 2, wide_gap = 4;
constexpr std::array<std::string_view, 3> phases = {"l1", "l2", "l3"};

/// A piece of a line; where it is too long, those with the highest rank are left out first.
struct Piece {
  Cell cell;
  unsigned rank = 0;
};

/// The pieces with blanks between them, and the last one at the right end where that is wanted.
Line fitted(std::vector<Piece> pieces, unsigned columns, bool is_filled = true) {
  std::erase_if(pieces, [](const Piece& piece) { return piece.cell.text.empty(); });
  const auto width = [&] {
    unsigned all = 0;
    for (const Piece& piece : pieces) all += display_width(safe(piece.cell.text)) + gap;
    return all - std::min(all, gap);
  };
  while (width() > columns) {
    const auto least = std::ranges::max_element(pieces, {}, &Piece::rank);
    if (least == pieces.end() || least->rank == 0) break;
    pieces.erase(least);
  }
  Line line;
  for (const Piece& piece : pieces) {
    const bool is_last = is_filled && &piece == &pieces.back();
    const unsigned rest = columns - std::min(columns, width());
    if (!line.empty()) line.emplace_back(std::string(gap + (is_last ? rest : 0), ' '));
    line.emplace_back(safe(piece.cell.text), piece.cell.tone);
  }
  return line;
}

std::vector<Line> beside(const std::vector<Line>& left, unsigned columns,
                         const std::vector<Line>& right) {
  std::vector<Line> lines;
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    Line line = exactly(i < left.size() ? left[i] : Line{}, columns);
    if (i < right.size()) line.insert(line.end(), right[i].begin(), right[i].end());
    lines.push_back(std::move(line));
  }
  return lines;
}

unsigned widest(const std::vector<Line>& lines) {
  unsigned columns = 0;
  for (const Line& line : lines) columns = std::max(columns, display_width(line));
  return columns;
}

const Object* find(const WatchState& state, const std::string& path) {
  const auto found = std::ranges::find(state.objects, path, &Object::path);
  return found == state.objects.end() ? nullptr : &*found;
}

/// Fresh, late or missing by the meter's own interval.
Cell age_cell(std::uint64_t time_us, double interval_s, std::uint64_t now_us) {
  constexpr double late = 2.5, missing = 10, slack_s = 2;
  const std::string text = age_text(time_us, now_us);
  if (time_us == 0) return {text, Tone::warn};
  const double age = static_cast<double>(now_us - std::min(now_us, time_us)) / 1e6;
  if (!(interval_s > 0)) return {text, Tone::dim};
  if (age > missing * interval_s + slack_s) return {text, Tone::bad};
  return {text, age > late * interval_s + slack_s ? Tone::warn : Tone::good};
}

Cell power_cell(double watts) {
  return {number_text(std::abs(watts)) + " W", watts < 0 ? Tone::good : Tone::strong};
}

/// A source whose gateways are adapters of their own has telegrams, and no meter all the same.
Cell meterless(const Value& adapter) {
  if (adapter["TelegramsReceived"].count() > 0) return "";
  return {"no meter yet", Tone::warn};
}

class Card {
 public:
  Card(const WatchState& state, const CardStyle& style) : state_(state), style_(style) {}
  std::vector<Line> of_meter(const Object& object);
  std::vector<Line> of_adapter(const Object& object);

 private:
  void add(Line line) { lines_.push_back(std::move(line)); }
  void add(const std::vector<Line>& lines) {
    lines_.insert(lines_.end(), lines.begin(), lines.end());
  }
  void add_title(std::vector<Piece> pieces);
  void add_link(const Value& adapter, const Value& meter);
  void add_problem(const Value& adapter);
  void add_power(const Object& object);
  static std::vector<Line> large_number(double watts);
  std::vector<Line> trace_lines(const Object& object, unsigned columns) const;
  std::vector<Line> phase_lines();
  std::vector<Line> energy_lines();
  void add_meters_behind(const Object& object);
  void add_others();
  /// A reading that is then not shown among the others.
  std::optional<double> take(const std::string& name);

  const WatchState& state_;
  const CardStyle& style_;
  const Value* readings_ = nullptr;
  std::set<std::string> shown_;
  std::vector<Line> lines_;
};

std::optional<double> Card::take(const std::string& name) {
  shown_.insert(name);
  return number_of(*readings_, name);
}

void Card::add_title(std::vector<Piece> pieces) {
  if (style_.is_chosen) pieces.insert(pieces.begin(), {{">", Tone::accent}});
  add(fitted(std::move(pieces), style_.columns));
}

/// "decrypt 118, framing 2"
Cell errors_cell(const Value& adapter) {
  std::string text;
  for (const auto& [reason, count] : adapter["Errors"].map())
    if (count.count() > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", reason, count.count());
  if (text.empty()) return {"no errors", Tone::dim};
  return {"errors: " + text, Tone::warn};
}

std::string protection(const Value& meter) {
  if (meter.map().empty()) return {};
  if (!meter["Encrypted"].boolean()) return "not encrypted";
  return meter["Authenticated"].text() == "yes" ? "encrypted, verified" : "encrypted, not verified";
}

void Card::add_link(const Value& adapter, const Value& meter) {
  const std::string state = adapter["State"].text();
  const auto telegrams = adapter["TelegramsReceived"].count();
  add(fitted({{{meter.map().empty() ? "" : adapter["Device"].text()}, 1},
              {state_.is_there ? Cell(state, tone_of_state(state)) : Cell("unknown", Tone::dim)},
              {{adapter["LineSettings"].text(), Tone::dim}, 5},
              {{adapter["Protocol"].text(), Tone::dim}, 6},
              {{protection(meter), Tone::dim}, 4},
              {errors_cell(adapter), 2},
              {{counted(telegrams, "telegram"), Tone::dim}, 3}},
             style_.columns));
}

void Card::add_problem(const Value& adapter) {
  const std::string problem = adapter["Problem"].text();
  if (problem.empty() || problem == "none") return;
  for (const std::string& line : wrapped(problem_text(problem), style_.columns, 0))
    add(Line{{line, Tone::bad}});
  const std::string advice = problem_advice(problem);
  if (advice.empty()) return;
  for (const std::string& line : wrapped(advice, style_.columns, 0)) add(Line{{line}});
}

/// "1530 W" in large digits.
std::vector<Line> Card::large_number(double watts) {
  const Cell power = power_cell(watts);
  std::vector<Line> lines;
  for (std::string& row : large_digits(fmt::format("{:.0f}", std::abs(watts))))
    lines.push_back({{std::move(row), power.tone}});
  lines.back().emplace_back("W", power.tone);
  return lines;
}

/// How the power was in the last minutes, so many columns wide; of several rows with a caption.
std::vector<Line> Card::trace_lines(const Object& object, unsigned columns) const {
  constexpr unsigned columns_min = 8;
  constexpr double hold_intervals = 2.5, hold_min_s = 15;
  const auto trace = state_.traces.find(object.path);
  if (trace == state_.traces.end() || columns < columns_min) return {};
  const double hold_s = std::max(hold_intervals * object.meter()["Interval"].number(), hold_min_s);
  const auto means =
      trace->second.means(columns, style_.now_us, static_cast<std::uint64_t>(hold_s * 1e6));
  auto lines = spark(means, style_.large ? large_rows : 1, style_.coarse);
  if (!style_.large) return lines;
  double highest = 0, lowest = 0;
  for (const double mean : means) {
    if (mean > highest) highest = mean;
    if (mean < lowest) lowest = mean;
  }
  lines.push_back({{cut(fmt::format("{:.0f} to {:.0f} W in {} min", lowest, highest,
                                    PowerTrace::span_us / 60'000'000),
                        columns),
                    Tone::dim}});
  return lines;
}

/// Import and export, and beside them how they were.
void Card::add_power(const Object& object) {
  const auto watts = net_power(*readings_);
  if (!watts) return;
  const Cell power = power_cell(*watts);
  // Heat has no grid, and a meter may say how much without saying where to.
  const bool has_direction =
      std::ranges::any_of(std::array{"power_import", "power_export", "power_net"},
                          [this](const char* name) { return take(name).has_value(); });
  if (!has_direction) shown_.insert({"power", "power_abs"});
  const std::string arrow = style_.coarse || !has_direction ? "" : *watts < 0 ? "▲ " : "▼ ";
  const std::string direction = !has_direction ? "power"
                                : *watts < 0   ? "to the grid"
                                               : "from the grid";
  std::vector<Piece> words{{{arrow + (style_.large ? direction : power.text), power.tone}}};
  for (const char* name : {"power_import", "power_export"})
    if (const auto number = take(name))
      words.push_back(
          {{fmt::format("{} {} W", std::string_view(name).substr(6), number_text(*number)),
            style_.large ? Tone::strong : Tone::plain},
           1});
  shown_.insert("power_net");
  auto left = style_.large ? large_number(*watts) : std::vector<Line>{};
  left.push_back(fitted(std::move(words), style_.columns, false));
  const unsigned taken = widest(left) + wide_gap;
  const auto right = trace_lines(object, style_.columns - std::min(style_.columns, taken));
  add(right.empty() ? left : beside(left, taken, right));
}

/// Numbers as text with their points below each other; "-" for what is not there.
std::vector<std::string> aligned(const std::vector<std::optional<double>>& numbers) {
  std::vector<std::string> texts;
  std::size_t places = 0;  // the point and what follows it
  const auto places_of = [](const std::string& text) {
    return text.size() - std::min(text.find('.'), text.size());
  };
  for (const auto& number : numbers) {
    texts.push_back(number ? number_text(*number) : std::string(absent));
    places = std::max(places, places_of(texts.back()));
  }
  for (std::string& text : texts)
    if (text != absent) text.append(places - places_of(text), ' ');
  return texts;
}

/// Voltage, current and power of each phase that the meter has.
std::vector<Line> Card::phase_lines() {
  std::vector<Column> columns{{""}};
  std::vector<std::vector<Cell>> rows;
  for (const std::string_view phase : phases)
    rows.push_back({{fmt::format("L{}", phase.substr(1)), Tone::strong}});
  const auto add_column = [&](const char* title, const auto& value) {
    std::vector<std::optional<double>> values;
    std::ranges::transform(phases, std::back_inserter(values), value);
    if (std::ranges::none_of(values, [](const auto& one) { return one.has_value(); })) return;
    columns.push_back({title, 0, 0, Align::right});
    const auto texts = aligned(values);
    for (std::size_t i = 0; i < texts.size(); ++i) rows[i].emplace_back(texts[i]);
  };
  const auto named = [this](const char* name) {
    return [this, name](std::string_view phase) { return take(fmt::format("{}_{}", name, phase)); };
  };
  add_column("V", named("voltage"));
  add_column("A", named("current"));
  add_column("W", [this](std::string_view phase) {
    const auto in = take(fmt::format("power_import_{}", phase));
    const auto out = take(fmt::format("power_export_{}", phase));
    const auto both = take(fmt::format("power_{}", phase));
    return in || out ? std::optional(in.value_or(0) - out.value_or(0)) : both;
  });
  if (columns.size() == 1) return {};
  Table table(std::move(columns));
  for (auto& row : rows)
    if (std::ranges::any_of(row.begin() + 1, row.end(),
                            [](const Cell& cell) { return cell.text != absent; }))
      table.add(std::move(row));
  return table.lines(style_.columns);
}

/// The energy registers, with tariffs.
std::vector<Line> Card::energy_lines() {
  constexpr int tariffs = 4;
  const auto active = static_cast<int>(take("tariff").value_or(0));
  std::vector<Cell> labels;
  std::vector<std::optional<double>> in, out;
  for (int tariff = 0; tariff <= tariffs; ++tariff) {
    const std::string end = tariff == 0 ? "" : fmt::format("_t{}", tariff);
    const auto import = take("energy_import" + end), sold = take("energy_export" + end);
    if (!import && !sold) continue;
    const bool is_active = tariff == active && tariff != 0;
    labels.push_back({tariff == 0 ? std::string("energy")
                                  : fmt::format("tariff {}{}", tariff, is_active ? ", now" : ""),
                      is_active || tariff == 0 ? Tone::strong : Tone::plain});
    in.push_back(import);
    out.push_back(sold);
  }
  if (labels.empty()) return {};
  Table table({{""}, {"import kWh", 0, 0, Align::right}, {"export kWh", 0, 0, Align::right}});
  const auto in_texts = aligned(in), out_texts = aligned(out);
  for (std::size_t i = 0; i < labels.size(); ++i) table.add({labels[i], in_texts[i], out_texts[i]});
  return table.lines(style_.columns);
}

/// Gas, water and heat meters that this one carries.
void Card::add_meters_behind(const Object& object) {
  Table table({{""}, {"", 0, 8}, {"", 2, 8}, {"", 0, 0, Align::right}, {"", 1}});
  bool is_empty = true;
  for (const Object* behind : meters_behind(state_.objects, object.path)) {
    const Value& meter = behind->meter();
    std::string value;
    for (const char* name : {"volume", "energy", "reading"})
      if (number_of(meter["Readings"], name))
        value += (value.empty() ? "" : ", ") + value_text(name, meter["Readings"][name]);
    table.add({{meter["Medium"].text(), Tone::strong},
               meter["Id"].text(),
               {meter["Name"].text(), Tone::accent},
               {or_dash(value), Tone::strong},
               age_cell(meter["LastUpdate"].count(), meter["Interval"].number(), style_.now_us)});
    is_empty = false;
  }
  if (is_empty) return;
  auto lines = table.lines(style_.columns);
  lines.front().clear();  // no titles: a free line
  add(lines);
}

/// What has no place of its own.
void Card::add_others() {
  Line line;
  const auto end_line = [&] {
    if (!line.empty()) add(std::exchange(line, {}));
  };
  add(Line{});
  for (const std::string& name : ordered_names(*readings_)) {
    if (shown_.contains(name) || name == "capture_time") continue;
    const std::string value = safe(value_text(name, (*readings_)[name]));
    const unsigned width = display_width(safe(name)) + 1 + display_width(value);
    if (display_width(line) + wide_gap + width > style_.columns) end_line();
    if (!line.empty()) line.emplace_back(std::string(wide_gap, ' '));
    line.emplace_back(safe(name) + " ", Tone::dim);
    line.emplace_back(value);
  }
  end_line();
  if (lines_.back().empty()) lines_.pop_back();
}

std::vector<Line> Card::of_meter(const Object& object) {
  const Value& meter = object.meter();
  readings_ = &meter["Readings"];
  std::string kind = meter["Medium"].text();
  for (const char* key : {"Model", "Manufacturer"})
    if (const std::string text = meter[key].text(); !text.empty()) kind = text + " " + kind;
  add_title({{{meter["Id"].text(), Tone::strong}},
             {{meter["Name"].text(), Tone::accent}, 1},
             {{kind}, 2},
             {age_cell(meter["LastUpdate"].count(), meter["Interval"].number(), style_.now_us)}});
  if (const Object* adapter = find(state_, meter["Adapter"].text())) {
    add_link(adapter->adapter(), meter);
    add_problem(adapter->adapter());
  } else {
    add(fitted({{{protection(meter), Tone::dim}}}, style_.columns));
  }
  if (style_.large) add(Line{});
  add_power(object);
  const auto by_phase = phase_lines(), energies = energy_lines();
  const unsigned left = widest(by_phase) + wide_gap;
  if (style_.large && !(by_phase.empty() && energies.empty())) add(Line{});
  if (left + widest(energies) <= style_.columns && !by_phase.empty()) {
    add(beside(by_phase, left, energies));
  } else {
    add(by_phase);
    add(energies);
  }
  add_meters_behind(object);
  add_others();
  return std::move(lines_);
}

std::vector<Line> Card::of_adapter(const Object& object) {
  const Value& adapter = object.adapter();
  add_title({{{adapter["Device"].text(), Tone::strong}},
             {meterless(adapter), 1},
             {{age_text(adapter["LastActivity"].count(), style_.now_us), Tone::dim}}});
  add_link(adapter, {});
  add_problem(adapter);
  return std::move(lines_);
}

}  // namespace

Line exactly(const Line& line, unsigned columns) {
  Line exact;
  unsigned left = columns;
  for (const Cell& cell : line) {
    if (left == 0) break;
    std::string text = cut(cell.text, left);
    left -= std::min(left, display_width(text));
    exact.emplace_back(std::move(text), cell.tone);
  }
  if (left > 0) exact.emplace_back(std::string(left, ' '));
  return exact;
}

std::vector<Line> card(const WatchState& state, const std::string& path, const CardStyle& style) {
  const Object* object = find(state, path);
  if (object == nullptr) return {Line{{"The meter has gone; waiting for it.", Tone::warn}}};
  Card made(state, style);
  return object->meter().map().empty() ? made.of_adapter(*object) : made.of_meter(*object);
}

Table list_table() {
  constexpr unsigned name_min = 12, problem_min = 10;
  return Table({{""},
                {"METER", 0, name_min},
                {"NAME", 3, name_min},
                {"MEDIUM", 4},
                {"POWER", 1, 0, Align::right},
                {"", 1},
                {"STATE", 2, problem_min},
                {"LAST", 0}});
}

std::vector<Cell> list_row(const WatchState& state, const std::string& path,
                           const CardStyle& style) {
  const Cell mark = style.is_chosen ? Cell(">", Tone::accent) : Cell(" ");
  const Object* object = find(state, path);
  if (object == nullptr) return std::vector<Cell>(8, Cell(""));
  const bool is_meter = !object->meter().map().empty();
  const Value& meter = object->meter();
  const Object* carrier = is_meter ? find(state, meter["Adapter"].text()) : object;
  static const Value nothing;
  const Value& adapter = carrier != nullptr ? carrier->adapter() : nothing;
  const std::string problem = adapter["Problem"].text(), word = adapter["State"].text();
  const Cell health = !state.is_there ? Cell("unknown", Tone::dim)
                      : problem.empty() || problem == "none"
                          ? Cell(or_dash(word), tone_of_state(word))
                          : Cell(problem_text(problem), Tone::bad);
  if (!is_meter)
    return {mark,   {adapter["Device"].text(), Tone::strong},
            "",     meterless(adapter),
            "",     "",
            health, {age_text(adapter["LastActivity"].count(), style.now_us), Tone::dim}};
  const auto watts = net_power(meter["Readings"]);
  return {mark,
          {meter["Id"].text(), Tone::strong},
          {meter["Name"].text(), Tone::accent},
          meter["Medium"].text(),
          watts ? power_cell(*watts) : Cell(std::string(absent)),
          watts && *watts < 0 ? "export" : "",
          health,
          age_cell(meter["LastUpdate"].count(), meter["Interval"].number(), style.now_us)};
}

}  // namespace smartmeterctl
