// SPDX-License-Identifier: Apache-2.0
// Identity, merging, push interval and freshness of meters.
#include "daemon/meter_registry.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "daemon/log.hpp"
#include "meter/base/hex.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

/// Data older than this many push intervals is stale.
constexpr int intervals_until_stale = 3;
/// No meter pushes faster than it makes sense to call its data stale.
constexpr auto stale_after_min = 10s;
/// Below this an interval is as good as none; 0 stands for "not known".
constexpr double interval_min_s = 0.1;
/// While the interval is unknown; hourly lists aside, no meter pushes more rarely.
constexpr auto stale_after_unknown = 120s;

bool is_letter(char c) noexcept { return c >= 'A' && c <= 'Z'; }

/// The flag association's three letters: of the system title, else of the id's start.
std::string manufacturer_of(const meter::ReadingSet& readings, std::string_view id) {
  std::string_view letters;
  if (readings.system_title) letters = meter::text_of(*readings.system_title).substr(0, 3);
  if (letters.empty() || !std::ranges::all_of(letters, is_letter)) {
    letters = id.substr(!id.empty() && id[0] >= '0' && id[0] <= '9' ? 1 : 0, 3);
    if (letters.size() < 3 || !std::ranges::all_of(letters, is_letter)) return {};
  }
  return std::string(letters);
}

}  // namespace

struct MeterRegistry::Entry {
  Meter meter;
  bool id_is_final = false;  // not "unknown-…" and not merely the system title
  std::string adapter_name;
  std::optional<meter::SystemTitle> title;
  std::array<double, 5> gaps{};  // last gaps between telegrams, s
  std::size_t gap_count = 0;
  std::uint64_t heard = 0;       // number of its last telegram among all telegrams

  io::TimePoint stale_at() const {
    if (meter.interval_s <= 0) return meter.last_update + stale_after_unknown;
    const auto limit = std::chrono::duration_cast<io::Clock::duration>(
        std::chrono::duration<double>(meter.interval_s * intervals_until_stale));
    return meter.last_update + std::max<io::Clock::duration>(limit, stale_after_min);
  }
};

MeterRegistry::MeterRegistry(io::Loop& loop, Sink& sinks)
    : loop_(loop), sinks_(sinks), freshness_timer_([this](int result) {
        if (result == 0) check_freshness();
      }) {}
MeterRegistry::~MeterRegistry() = default;

void MeterRegistry::configure(const std::vector<MeterConfig>& meters,
                              meter::QuantityMap quantities) {
  configured_ = meters;
  quantities_ = std::move(quantities);
  for (auto& entry : entries_) {
    const auto found = std::ranges::find(configured_, entry->meter.id, &MeterConfig::id);
    const std::string name = found == configured_.end() ? "" : found->display_name;
    if (name == entry->meter.display_name) continue;
    entry->meter.display_name = name;
    sinks_.meter_changed(entry->meter);
  }
}

MeterRegistry::Entry* MeterRegistry::find_by_id(std::string_view id) noexcept {
  for (auto& entry : entries_)
    if (entry->meter.id == id) return entry.get();
  return nullptr;
}

MeterRegistry::Entry* MeterRegistry::find_by_origin(
    const Adapter& adapter, const std::optional<meter::SystemTitle>& title) noexcept {
  // The newest meter heard there: a replaced meter sends under the same adapter.
  Entry* newest = nullptr;
  for (auto& entry : entries_)
    if (entry->adapter_name == adapter.name && entry->title == title &&
        (!newest || entry->heard > newest->heard))
      newest = entry.get();
  return newest;
}

void MeterRegistry::give_id(Entry& entry, std::string_view id) {
  entry.meter.id = id;
  entry.meter.slug = meter::slug(id);
  const auto found = std::ranges::find(configured_, entry.meter.id, &MeterConfig::id);
  entry.meter.display_name = found == configured_.end() ? "" : found->display_name;
}

MeterRegistry::Entry& MeterRegistry::entry_of(const Adapter& adapter,
                                              const meter::ReadingSet& readings) {
  std::string id(readings.meter_id.view());
  bool is_final = !id.empty() && !readings.meter_id_is_title;
  for (const MeterConfig& config : configured_) {
    if (config.id.empty() || config.adapter.empty()) continue;
    if (config.adapter != adapter.table && config.adapter != adapter.name) continue;
    id = config.id;  // a configured id wins
    is_final = true;
  }
  Entry* heard = find_by_origin(adapter, readings.system_title);
  if (heard && (!is_final || heard->meter.id == id)) return *heard;
  if (id.empty()) id = "unknown-" + adapter.name;

  Entry* entry = is_final ? find_by_id(id) : nullptr;
  const bool learnt = heard && !heard->id_is_final;
  if (learnt) {
    log::notice("meter {} is now known as {}", heard->meter.id, id);
    sinks_.meter_removed(heard->meter);
    if (entry)
      std::erase_if(entries_, [&](const auto& other) { return other.get() == heard; });
    else
      entry = heard;
  }
  const bool is_new = !entry || entry == heard;
  if (!entry) entry = entries_.emplace_back(std::make_unique<Entry>()).get();
  if (is_new) give_id(*entry, id);
  entry->id_is_final = is_final;
  entry->adapter_name = adapter.name;
  entry->title = readings.system_title;
  entry->meter.adapter = &adapter;
  if (is_new) {
    entry->meter.manufacturer = manufacturer_of(readings, is_final ? std::string_view(id) : "");
    entry->meter.encrypted = readings.authentication != meter::Authentication::clear;
    entry->meter.key_state = entry->meter.encrypted ? KeyState::ok : KeyState::not_needed;
    entry->meter.link = readings.link;
    entry->meter.profile = readings.profile;
    log::write(log::Level::notice, log::Event::meter_found,
               fmt::format("{}: meter {} found ({})", adapter.device, id, readings.profile),
               {{"SMARTMETER_ADAPTER", adapter.name}, {"SMARTMETER_METER", id}});
    sinks_.meter_added(entry->meter);
  }
  return *entry;
}

void MeterRegistry::merge(Entry& entry, const meter::ReadingSet& readings,
                          std::vector<std::string_view>& changed) {
  Meter& meter = entry.meter;
  meter::harmonize(readings, quantities_, named_);
  for (const meter::NamedReading& reading : named_) {
    auto found = std::ranges::find(meter.values, reading.name, &LatestValue::name);
    if (found == meter.values.end()) {
      found = meter.values.emplace(meter.values.end());
      found->name = reading.name;
    } else if (reading.derived && !found->derived) {
      continue;  // another list of this meter sends the value itself
    } else if (found->value == reading.value && found->is_text == reading.is_text &&
               found->text == reading.text) {
      found->arrived = loop_.now();
      continue;
    }
    found->value = reading.value;
    found->text = reading.text;
    found->unit = reading.unit;
    found->is_text = reading.is_text;
    found->derived = reading.derived;
    found->arrived = loop_.now();
    changed.push_back(reading.name);
  }
  meter.registers.clear();
  std::array<char, meter::DateTime::text_size_max> buffer;
  for (const meter::Reading& reading : readings.readings) {
    const bool is_text = reading.kind() != meter::Reading::Kind::number;
    std::string text;
    if (is_text) {
      if (const auto time = reading.date_time()) {
        text = time->to_text(buffer);
      } else if (reading.kind() == meter::Reading::Kind::text) {
        text = reading.text();
      } else {
        text.resize(2 * reading.octets().size());
        (void)meter::write_hex(reading.octets(), text, meter::hex_lower);
      }
    }
    meter.registers.push_back({reading.obis(), is_text ? meter::Decimal{} : reading.value(),
                               reading.unit(), is_text, std::move(text)});
  }
}

bool MeterRegistry::measure_interval(Entry& entry) {
  Meter& meter = entry.meter;
  if (meter.sequence == 0) return false;
  const double gap = std::chrono::duration<double>(loop_.now() - meter.last_update).count();
  entry.gaps[entry.gap_count++ % entry.gaps.size()] = gap;
  const std::size_t count = std::min(entry.gap_count, entry.gaps.size());
  std::array<double, 5> sorted = entry.gaps;
  std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count));
  const double median = std::max(std::round(sorted[count / 2] * 10) / 10, interval_min_s);
  const double noticeable = 0.2 * std::max(meter.interval_s, 0.5);
  if (meter.interval_s > 0 && std::abs(median - meter.interval_s) < noticeable) return false;
  meter.interval_s = median;
  return true;
}

void MeterRegistry::accept(const Adapter& adapter, const meter::ReadingSet& readings) {
  Entry& entry = entry_of(adapter, readings);
  Meter& meter = entry.meter;
  entry.heard = ++telegrams_;
  std::vector<std::string_view> changed;
  merge(entry, readings, changed);
  bool facts_changed = measure_interval(entry);
  auto set = [&](auto& member, const auto& value) {
    if (member == value) return;
    member = value;
    facts_changed = true;
  };
  set(meter.adapter, &adapter);
  set(meter.fresh, true);
  set(meter.encrypted, readings.authentication != meter::Authentication::clear);
  set(meter.key_state, meter.encrypted ? KeyState::ok : KeyState::not_needed);
  set(meter.link, readings.link);
  set(meter.authentication, readings.authentication);
  set(meter.profile, readings.profile);

  std::array<char, meter::DateTime::text_size_max> buffer;
  if (readings.time)
    meter.meter_time = readings.time->to_text(buffer);
  else
    meter.meter_time.clear();
  ++meter.sequence;
  meter.last_update = loop_.now();
  meter.last_update_us = loop_.realtime_us();
  sinks_.telegram({meter, readings, named_, quantities_, std::move(changed)});
  if (facts_changed) sinks_.meter_changed(meter);
  if (facts_changed || !freshness_timer_.pending()) arm_freshness();
}

void MeterRegistry::key_failed(const Adapter& adapter, KeyState state) {
  for (auto& entry : entries_) {
    if (entry->adapter_name != adapter.name || entry->meter.key_state == state) continue;
    entry->meter.key_state = state;
    sinks_.meter_changed(entry->meter);
  }
}

void MeterRegistry::adapter_removed(const Adapter& adapter) {
  for (auto& entry : entries_) {
    if (entry->meter.adapter != &adapter) continue;
    entry->meter.adapter = nullptr;
    sinks_.meter_changed(entry->meter);
  }
}

void MeterRegistry::introduce(Sink& sink) const {
  for (const auto& entry : entries_) sink.meter_added(entry->meter);
}

void MeterRegistry::arm_freshness() {
  // One timer for all meters, not moved by each telegram: it looks again when it fires early.
  std::optional<io::TimePoint> first;
  for (const auto& entry : entries_)
    if (entry->meter.fresh && (!first || entry->stale_at() < *first)) first = entry->stale_at();
  if (first) loop_.timer(freshness_timer_, *first);
}

void MeterRegistry::check_freshness() {
  for (auto& entry : entries_) {
    if (!entry->meter.fresh || entry->stale_at() > loop_.now()) continue;
    entry->meter.fresh = false;
    log::warning("meter {} has been silent for {:.0f} s", entry->meter.id,
                 std::chrono::duration<double>(loop_.now() - entry->meter.last_update).count());
    sinks_.meter_changed(entry->meter);
  }
  arm_freshness();
}

}  // namespace smartmeterd
