// SPDX-License-Identifier: Apache-2.0
// Asks Meter.History, in pieces that smartmeterd answers quickly.
#include "tools/smartmeterctl/history_source.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

namespace smartmeterctl {
namespace {

using namespace std::chrono;

std::uint64_t microseconds_of(Instant instant) {
  return static_cast<std::uint64_t>(
      duration_cast<microseconds>(instant.time_since_epoch()).count());
}

/// (start, values) of the bus.
HistoryRow row_of(const Value& wire) {
  HistoryRow row;
  const auto& members = wire.list();
  if (members.size() < 2) throw std::runtime_error("unreadable answer of smartmeterd");
  row.start = Instant(floor<seconds>(microseconds(members[0].count())));
  for (const auto& [name, value] : members[1].map()) row.values.emplace(name, value.number());
  return row;
}

const char* period_of(Step::Kind kind) {
  return kind == Step::Kind::day ? "day" : kind == Step::Kind::week ? "week" : "month";
}

/// smartmeterd answers few questions at once, of all programs together.
template <class Ask>
Value patiently(Ask ask) {
  constexpr int attempts = 6;
  auto pause = milliseconds(100);  // doubled each time: six seconds in all
  for (int attempt = 1;; ++attempt) {
    try {
      return ask();
    } catch (const BusError& error) {
      if (error.name != "org.smartmeterd1.Error.LimitReached" || attempt == attempts) throw;
    }
    std::this_thread::sleep_for(pause *= 2);
  }
}

}  // namespace

TimeRange PastOptions::take(Instant now) {
  if (!range.zone.empty() && !use_zone(range.zone))
    throw UsageError(fmt::format(
        "--zone: \"{}\" is no time zone of this machine: expected for example Europe/Vienna; "
        "\"timedatectl list-timezones\" shows them",
        range.zone));
  if (meter.empty()) meter = range.take_meter();
  return range_of(range, now);
}

Instant now() {
  return floor<seconds>(system_clock::now());
}

HistoryRows Past::rows(const Piece& piece, const Step& step) const {
  std::map<std::string, std::string> options;
  if (const std::string zone = zone_name(); !zone.empty()) options["zone"] = zone;
  std::uint32_t step_s = 0;
  if (step.kind == Step::Kind::seconds)
    step_s = static_cast<std::uint32_t>(std::min(step.length, piece.to - piece.from).count());
  else
    options["period"] = period_of(step.kind);
  const Value answer = patiently([&] {
    return bus_->history(meter_.path, microseconds_of(piece.from), microseconds_of(piece.to),
                         step_s, options);
  });
  HistoryRows rows;
  for (const Value& wire : answer.list()) {
    HistoryRow row = row_of(wire);
    row.end = std::min(row_end(row.start, step, piece.from), piece.to);
    rows.push_back(std::move(row));
  }
  return rows;
}

void Past::for_each_piece(
    const TimeRange& range,
    const std::function<void(const HistoryRows&, const Piece&)>& on_piece) const {
  const auto pieces = pieces_of(range);
  if (pieces.size() == 1 && only_piece_) return on_piece(*only_piece_, pieces.front());
  StatusLine status;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    // Of no use in a log.
    if (StatusLine::is_rewritten() && pieces.size() > 1)
      status.show(fmt::format("{}: {}, {} % …", id(), iso_text(pieces[i].from).substr(0, 10),
                              100 * i / pieces.size()));
    const HistoryRows found = rows(pieces[i], range.step);
    status.clear();
    on_piece(found, pieces[i]);
  }
}

Overview Past::overview(const TimeRange& range) {
  Overview overview;
  const auto pieces = pieces_of(range);
  if (pieces.size() == 1) {
    only_piece_ = rows(pieces.front(), range.step);
    for (const HistoryRow& row : *only_piece_) overview.add(row);
    return overview;
  }
  // The longest rows have every name, and bounds, of those that they are made of.
  const Step longest{Step::Kind::seconds, piece_span_max};
  StatusLine status;
  for (const Piece& piece : pieces_of({range.from, range.to, longest, {}})) {
    if (StatusLine::is_rewritten())
      status.show(fmt::format("{}: looking for what there is, {} …", id(),
                              iso_text(piece.from).substr(0, 10)));
    for (const HistoryRow& row : rows(piece, longest)) overview.add(row);
  }
  return overview;
}

std::vector<Past> pasts_of(Bus& bus, const std::string& meter) {
  std::vector<Past> pasts;
  for (const Object& object : bus.meters(meter)) pasts.emplace_back(bus, object);
  if (pasts.empty()) throw std::runtime_error("no meter yet: \"smartmeterctl list\" says why");
  return pasts;
}

int say_nothing_there(const TimeRange& range) {
  fmt::print(stderr,
             "smartmeterctl: nothing is kept of {}: \"smartmeterctl history --year\" shows what "
             "there is\n",
             range.title);
  return exit_nothing;
}

}  // namespace smartmeterctl
