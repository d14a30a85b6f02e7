// SPDX-License-Identifier: Apache-2.0
// Identity, merging, push interval and freshness of meters.
#include "daemon/meter_registry.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "daemon/log.hpp"
#include "daemon/recent_gaps.hpp"
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

/// The flag association's three letters: of the system title, else where the id has them: a
/// logical device name (16 characters, Blue Book 4.1.8.2) begins with them, an identification of
/// DIN 43863-5 (14 characters) has them after the medium's digit.
std::string manufacturer_of(const meter::ReadingSet& readings, std::string_view id) {
  std::string_view letters;
  if (readings.system_title)
    letters = meter::text_of(*readings.system_title).substr(0, 3);
  else if (id.size() == 16)
    letters = id.substr(0, 3);
  else if (id.size() == 14)
    letters = id.substr(1, 3);
  return std::string(std::ranges::all_of(letters, is_letter) ? letters : "");
}

}  // namespace

struct MeterRegistry::Entry {
  Meter meter;
  bool id_is_final = false;  // its telegrams say it
  std::string adapter_name;
  std::optional<meter::SystemTitle> title;
  RecentGaps gaps;  // between its telegrams
  meter::Authentication protection = meter::Authentication::clear;  // of its telegrams so far
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
    entry->protection = meter::Authentication::clear;  // keys may have changed on purpose
    const std::string name = display_name(entry->meter.id);
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
  // Different ids may have one slug ("a/b", "a-b"), and one is taken by the service itself.
  const std::string stem = meter::slug(id);
  auto is_taken = [&](std::string_view slug) {
    return slug == "gateway" || std::ranges::any_of(entries_, [&](const auto& other) {
      return other.get() != &entry && other->meter.slug == slug;
    });
  };
  entry.meter.slug = stem;
  for (unsigned n = 2; is_taken(entry.meter.slug); ++n)
    entry.meter.slug = fmt::format("{}-{}", stem, n);
  entry.meter.display_name = display_name(id);
}

/// The name that the user gave to the meter of that id; empty: none.
std::string MeterRegistry::display_name(std::string_view id) const {
  const auto found = std::ranges::find(configured_, id, &MeterConfig::id);
  return found == configured_.end() ? "" : found->display_name;
}

/// The id that the configuration gives to this adapter's meter where it names itself not at all;
/// empty: none.
std::string_view MeterRegistry::configured_id(const Adapter& adapter) const {
  for (const MeterConfig& config : configured_)
    if (!config.adapter.empty() &&
        (config.adapter == adapter.table || config.adapter == adapter.name))
      return config.id;
  return {};
}

std::expected<MeterRegistry::Entry*, meter::Errc> MeterRegistry::entry_of(
    const Adapter& adapter, const meter::ReadingSet& readings) {
  // What the telegram says; what telegrams of this origin said before; what the configuration
  // says; the system title; nothing.
  Entry* heard = find_by_origin(adapter, readings.system_title);
  std::string id(readings.meter_id_is_title ? "" : readings.meter_id.view());
  if (id.empty() && heard && heard->id_is_final) id = heard->meter.id;
  const bool is_final = !id.empty();
  if (id.empty()) id = configured_id(adapter);
  if (id.empty()) id = readings.meter_id.view();
  if (id.empty()) id = "unknown-" + adapter.name;

  const bool is_heard = heard && heard->meter.id == id;
  Entry* entry = is_heard ? heard : find_by_id(id);
  if (entry && readings.authentication < entry->protection)
    return std::unexpected(meter::Errc::tag_missing);
  if (!entry && !may_add(adapter)) return std::unexpected(meter::Errc::too_many_elements);
  if (!is_heard) entry = &add_meter(adapter, readings, id, is_final, heard, entry);
  entry->protection = readings.authentication;
  return entry;
}

bool MeterRegistry::may_add(const Adapter& adapter) const {
  return std::ranges::count(entries_, adapter.name, [](const auto& entry) {
           return entry->adapter_name;
         }) < meters_per_adapter_max;
}

/// A meter that is new on this adapter: never heard of, known from elsewhere (`entry`), or heard
/// (`heard`) before its id was learnt.
MeterRegistry::Entry& MeterRegistry::add_meter(const Adapter& adapter,
                                               const meter::ReadingSet& readings,
                                               std::string_view id, bool is_final, Entry* heard,
                                               Entry* entry) {
  if (heard && !heard->id_is_final) {
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
  if (!is_new) return *entry;
  entry->meter.manufacturer = manufacturer_of(readings, is_final ? id : "");
  entry->meter.encrypted = readings.authentication != meter::Authentication::clear;
  entry->meter.key_state = entry->meter.encrypted ? KeyState::ok : KeyState::not_needed;
  entry->meter.link = readings.link;
  entry->meter.profile = readings.profile;
  log::write(log::Level::notice, log::Event::meter_found,
             fmt::format("{}: meter {} found ({})", adapter.device, id, readings.profile),
             {{"SMARTMETER_ADAPTER", adapter.name}, {"SMARTMETER_METER", id}});
  sinks_.meter_added(entry->meter);
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
  entry.gaps.add(loop_.now() - meter.last_update);
  const double gap = std::chrono::duration<double>(entry.gaps.median()).count();
  const double median = std::max(std::round(gap * 10) / 10, interval_min_s);
  const double noticeable = 0.2 * std::max(meter.interval_s, 0.5);
  if (meter.interval_s > 0 && std::abs(median - meter.interval_s) < noticeable) return false;
  meter.interval_s = median;
  return true;
}

std::optional<meter::Errc> MeterRegistry::accept(const Adapter& adapter,
                                                 const meter::ReadingSet& readings) {
  const auto found = entry_of(adapter, readings);
  if (!found) return found.error();
  Entry& entry = **found;
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
  return std::nullopt;
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
