// SPDX-License-Identifier: Apache-2.0
// Identity, merging, push interval and freshness of meters.
#include "daemon/meter_registry.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <span>

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

/// The flag association's three letters: as the meter sends them, of the system title, else where
/// the id has them: a logical device name (16 characters, Blue Book 4.1.8.2) begins with them, an
/// identification of DIN 43863-5 (14 characters) has them after the medium's digit.
std::string manufacturer_of(const meter::ReadingSet& readings, std::string_view id) {
  std::string_view letters;
  if (!readings.manufacturer.empty())
    letters = readings.manufacturer.view();
  else if (readings.system_title)
    letters = meter::text_of(*readings.system_title).substr(0, 3);
  else if (id.size() == 16)
    letters = id.substr(0, 3);
  else if (id.size() == 14)
    letters = id.substr(1, 3);
  return std::string(std::ranges::all_of(letters, is_letter) ? letters : "");
}

/// "energy storage 1 tariff 2": one of many records of the same quantity.
std::string label_of(const meter::ReadingDetail& detail) {
  using Function = meter::ReadingDetail::Function;
  std::string label(detail.label);
  if (detail.function != Function::instantaneous)
    label.append(" ").append(meter::name(detail.function));
  if (detail.storage != 0) label += fmt::format(" storage {}", detail.storage);
  if (detail.tariff != 0) label += fmt::format(" tariff {}", detail.tariff);
  if (detail.subunit != 0) label += fmt::format(" subunit {}", detail.subunit);
  return label;
}

/// The table names the adapter, by one of its names.
bool is_of(const MeterConfig& config, const Adapter& adapter) {
  return !config.adapter.empty() &&
         (config.adapter == adapter.table || config.adapter == adapter.name);
}

}  // namespace

struct MeterRegistry::Entry {
  Meter meter;
  bool id_is_final = false;  // its telegrams say it
  std::string adapter_name;
  std::optional<meter::SystemTitle> title;
  Entry* parent = nullptr;  // of a meter behind another one, with its channel there
  std::uint8_t channel = 0;
  RecentGaps gaps;  // between its telegrams
  meter::Authentication protection = meter::Authentication::clear;  // of its telegrams so far
  std::uint64_t heard = 0;       // number of its last telegram among all telegrams

  io::TimePoint stale_at() const {
    using Seconds = std::chrono::duration<double>;
    // A meter that is asked cannot speak more often than that.
    const auto asked_s = Seconds(meter.adapter ? meter.adapter->readout_interval : 0s).count();
    const double interval_s = std::max(meter.interval_s, asked_s);
    if (interval_s <= 0) return meter.last_update + stale_after_unknown;
    const auto limit = std::chrono::duration_cast<io::Clock::duration>(
        Seconds(interval_s * intervals_until_stale));
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

MeterRegistry::Entry* MeterRegistry::find_by_origin(const Origin& origin) noexcept {
  // The newest meter heard there: a replaced meter sends under the same adapter, or channel.
  Entry* newest = nullptr;
  for (auto& entry : entries_)
    if (entry->adapter_name == origin.adapter.name && entry->title == origin.title &&
        entry->parent == origin.parent && entry->channel == origin.channel &&
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
    if (is_of(config, adapter)) return config.id;
  return {};
}

std::string_view MeterRegistry::zone_of(const Adapter& adapter) const {
  std::string_view everywhere;
  for (const MeterConfig& config : configured_) {
    if (config.zone.empty()) continue;
    if (is_of(config, adapter)) return config.zone;
    if (config.adapter.empty() && everywhere.empty()) everywhere = config.zone;
  }
  return everywhere;
}

/// What the telegram says; what telegrams of this origin said before; what the configuration says;
/// the system title; nothing.
MeterRegistry::Identity MeterRegistry::identity_of(const Adapter& adapter,
                                                   const meter::ReadingSet& readings,
                                                   const Entry* heard) const {
  std::string id(readings.meter_id_is_title ? "" : readings.meter_id.view());
  if (id.empty() && heard && heard->id_is_final) id = heard->meter.id;
  if (!id.empty()) return {std::move(id), true};
  id = configured_id(adapter);
  if (id.empty()) id = readings.meter_id.view();
  if (id.empty()) id = "unknown-" + adapter.name;
  return {std::move(id), false};
}

std::expected<MeterRegistry::Entry*, meter::Errc> MeterRegistry::entry_of(
    const Origin& origin, const Identity& identity, Entry* heard,
    const meter::ReadingSet& readings) {
  const bool is_heard = heard && heard->meter.id == identity.id;
  Entry* entry = is_heard ? heard : find_by_id(identity.id);
  if (entry && readings.authentication < entry->protection)
    return std::unexpected(meter::Errc::tag_missing);
  if (!entry && !may_add(origin.adapter)) return std::unexpected(meter::Errc::too_many_elements);
  if (!is_heard) entry = &add_meter(origin, identity, heard, entry, readings);
  entry->protection = readings.authentication;
  return entry;
}

bool MeterRegistry::may_add(const Adapter& adapter) const {
  return std::ranges::count(entries_, adapter.name, [](const auto& entry) {
           return entry->adapter_name;
         }) < meters_per_adapter_max;
}

/// A meter that is new at this origin: never heard of, known from elsewhere (`entry`), or heard
/// (`heard`) before its id was learnt.
MeterRegistry::Entry& MeterRegistry::add_meter(const Origin& origin, const Identity& identity,
                                               Entry* heard, Entry* entry,
                                               const meter::ReadingSet& readings) {
  const bool is_learnt = heard && !heard->id_is_final;
  if (is_learnt) {
    log::notice("meter {} is now known as {}", heard->meter.id, identity.id);
    sinks_.meter_removed(heard->meter);
    if (!entry) entry = heard;
  }
  const bool is_new = !entry || entry == heard;
  if (!entry) entry = entries_.emplace_back(std::make_unique<Entry>()).get();
  if (is_new) give_id(*entry, identity.id);
  entry->id_is_final = identity.is_final;
  entry->adapter_name = origin.adapter.name;
  entry->title = origin.title;
  entry->channel = origin.channel;
  entry->meter.adapter = &origin.adapter;
  if (is_new) {
    entry->parent = origin.parent;
    entry->meter.parent_id = origin.parent ? origin.parent->meter.id : "";
    entry->meter.medium = meter::name(readings.medium);
    entry->meter.manufacturer = manufacturer_of(readings, identity.is_final ? identity.id : "");
    entry->meter.encrypted = readings.authentication != meter::Authentication::clear;
    entry->meter.key_state = entry->meter.encrypted ? KeyState::ok : KeyState::not_needed;
    entry->meter.link = readings.link;
    entry->meter.profile = readings.profile;
    log::write(log::Level::notice, log::Event::meter_found,
               fmt::format("{}: meter {} found ({})", origin.adapter.device, identity.id,
                           readings.profile),
               {{"SMARTMETER_ADAPTER", origin.adapter.name}, {"SMARTMETER_METER", identity.id}});
    sinks_.meter_added(entry->meter);
  } else {
    move_behind(*entry, origin.parent);
  }
  if (is_learnt) {
    for (auto& other : entries_)
      if (other->parent == heard) move_behind(*other, entry);
    if (entry != heard)
      std::erase_if(entries_, [&](const auto& other) { return other.get() == heard; });
  }
  return *entry;
}

/// Facts that no sink can change in place: the meter goes and comes back with others.
template <class Change>
void MeterRegistry::show_anew(Entry& entry, Change change) {
  sinks_.meter_removed(entry.meter);
  change(entry.meter);
  sinks_.meter_added(entry.meter);
}

/// `parent` may be null; its id may have changed.
void MeterRegistry::move_behind(Entry& entry, Entry* parent) {
  entry.parent = parent;
  const std::string parent_id = parent ? parent->meter.id : "";
  if (entry.meter.parent_id == parent_id) return;
  show_anew(entry, [&](Meter& meter) { meter.parent_id = parent_id; });
}

void MeterRegistry::accept_sub_meter(Entry& parent, const Adapter& adapter,
                                     const meter::SubMeter& sub_meter, bool is_id_taken) {
  const Origin origin{adapter, std::nullopt, &parent, sub_meter.channel};
  Entry* heard = find_by_origin(origin);
  Identity identity{std::string(sub_meter.id.view()), true};
  // A meter that is read by itself is not shown a second time under the same name.
  const Entry* namesake = find_by_id(identity.id);
  if (is_id_taken || (namesake && !namesake->parent)) identity.id.clear();
  if (identity.id.empty() && !is_id_taken && heard && heard->id_is_final)
    identity.id = heard->meter.id;
  if (identity.id.empty())
    identity = {fmt::format("{}-{}", parent.meter.id, sub_meter.channel), false};
  const auto found = entry_of(origin, identity, heard, sub_meter_readings_);
  if (!found) return;
  Entry& entry = **found;
  for (auto& other : entries_) {  // it was replaced
    if (other->parent != &parent || other->channel != sub_meter.channel || other.get() == &entry ||
        !other->meter.fresh)
      continue;
    if (entry.meter.sequence == 0)
      log::notice("meter {} was replaced by {}", other->meter.id, entry.meter.id);
    other->meter.fresh = false;
    sinks_.meter_changed(other->meter);
  }
  update(entry, adapter, sub_meter_readings_);
}

void MeterRegistry::merge(Entry& entry, const meter::ReadingSet& readings,
                          std::vector<std::string_view>& changed) {
  Meter& meter = entry.meter;
  std::array<char, meter::DateTime::text_size_max> buffer;
  meter::harmonize(readings, quantities_, named_);
  for (const meter::NamedReading& reading : named_) {
    const bool is_text = reading.is_text || reading.is_time;
    const std::string_view text = text_of(reading, buffer);
    auto found = std::ranges::find(meter.values, reading.name, &LatestValue::name);
    if (found == meter.values.end()) {
      found = meter.values.emplace(meter.values.end());
      found->name = reading.name;
    } else if (reading.derived && !found->derived) {
      continue;  // another list of this meter sends the value itself
    } else if (found->value == reading.value && found->is_text == is_text &&
               found->text == text) {
      found->arrived = loop_.now();
      continue;
    }
    found->value = reading.value;
    found->text = text;
    found->unit = reading.unit;
    found->is_text = is_text;
    found->derived = reading.derived;
    found->arrived = loop_.now();
    changed.push_back(reading.name);
  }
  meter.registers.clear();
  for (std::size_t i = 0; i < readings.readings.size(); ++i) {
    const meter::Reading& reading = readings.readings[i];
    const bool is_text = reading.kind() != meter::Reading::Kind::number;
    std::string text;
    if (is_text) {
      if (const auto time = readings.time_of(reading)) {
        text = time->to_text(buffer);
      } else if (reading.kind() == meter::Reading::Kind::text) {
        text = reading.text();
      } else {
        text.resize(2 * reading.octets().size());
        (void)meter::write_hex(reading.octets(), text, meter::hex_lower);
      }
    }
    const bool has_label = !reading.obis().is_standard() && !readings.details.empty();
    meter.registers.push_back({reading.obis(), is_text ? meter::Decimal{} : reading.value(),
                               reading.unit(), is_text, std::move(text),
                               has_label ? label_of(readings.details[i]) : std::string()});
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
  const Origin origin{adapter, readings.system_title};
  // Many meters share a wired M-Bus: who does not name itself there is not the one before.
  const bool is_shared = readings.link == meter::Link::mbus_master;
  Entry* heard = is_shared ? nullptr : find_by_origin(origin);
  const auto found = entry_of(origin, identity_of(adapter, readings, heard), heard, readings);
  if (!found) return found.error();
  update(**found, adapter, readings);
  for (std::size_t i = 0; i < readings.sub_meters.size(); ++i) {
    meter::sub_meter_telegram(readings, i, sub_meter_readings_);
    const auto before = std::span(readings.sub_meters.begin(), i);
    const bool is_id_taken =
        std::ranges::count(before, readings.sub_meters[i].id, &meter::SubMeter::id) != 0;
    accept_sub_meter(**found, adapter, readings.sub_meters[i], is_id_taken);
  }
  return std::nullopt;
}

void MeterRegistry::update(Entry& entry, const Adapter& adapter,
                           const meter::ReadingSet& readings) {
  Meter& meter = entry.meter;
  entry.heard = ++telegrams_;
  const std::string_view medium = name(readings.medium);
  if (meter.medium != medium && medium != name(meter::Medium::unknown))
    show_anew(entry, [&](Meter& shown) { shown.medium = medium; });
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

std::string_view MeterRegistry::meter_on(const Adapter& adapter) const noexcept {
  const Entry* newest = nullptr;
  for (const auto& entry : entries_)
    if (entry->adapter_name == adapter.name && !entry->parent &&
        (!newest || entry->heard > newest->heard))
      newest = entry.get();
  return newest ? newest->meter.id : std::string_view();
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
