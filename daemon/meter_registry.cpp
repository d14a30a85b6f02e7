// SPDX-License-Identifier: Apache-2.0
// Identity, merging, push interval and freshness of meters.
#include "daemon/meter_registry.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <iterator>
#include <span>

#include "daemon/log.hpp"
#include "daemon/recent_gaps.hpp"
#include "meter/base/hex.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

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

/// Who and when alone is no reading.
bool has_number(const meter::ReadingSet& readings) {
  return std::ranges::count(readings.readings, meter::Reading::Kind::number,
                            &meter::Reading::kind) > 0;
}

/// A port of this machine has its data, and fresh: what comes from a broker may be that data again.
bool is_read_here(const Meter& meter) {
  return meter.fresh && meter.adapter && meter.adapter->translated_from.empty();
}

/// This machine has it from a gateway, and tells it value by value (daemon/mqtt/
/// data_point_profile.hpp): what comes like that may be our own, come back over the broker.
bool is_told_on(const Meter& meter) {
  return meter.fresh && !meter.is_stateless && meter.link != meter::Link::datacollector;
}

/// Another source has its data, and fresh. Gateways of one source may take turns; of a stateless
/// meter nothing is kept that could be mixed, nor does it ever fall silent.
bool is_fed_elsewhere(const Meter& meter, const Adapter& adapter) {
  return meter.fresh && !meter.is_stateless && meter.adapter &&
         meter.adapter->table != adapter.table;
}

}  // namespace

struct MeterRegistry::Entry {
  Meter meter;
  bool id_is_final = false;  // its telegrams say it
  std::string adapter_name;
  std::string feed;  // name of the adapter that its values came by; "" for ports of this machine
  std::optional<meter::SystemTitle> title;
  Entry* parent = nullptr;  // of a meter behind another one, with its channel there
  std::uint8_t channel = 0;
  std::vector<Entry*> behind;  // this one
  RecentGaps gaps;  // between its telegrams
  meter::Authentication protection = meter::Authentication::clear;  // of its telegrams so far
  std::uint64_t heard = 0;       // number of its last telegram among all telegrams

  /// Nobody but who sees all of its telegrams can tell.
  bool can_be_stale() const { return meter.fresh && !meter.is_stateless; }
  bool is_from(const Origin& origin) const {
    return adapter_name == origin.adapter.name && title == origin.title &&
           parent == origin.parent && channel == origin.channel;
  }
  io::TimePoint stale_at() const {
    return meter.last_update + meter.stale_after().value_or(stale_after_unknown);
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
    // A quantity that is left out or named otherwise now must not go on for ever as it was.
    // Nor must what followed from it; what still follows comes with the next telegram.
    std::erase_if(entry->meter.values, [&](const LatestValue& value) {
      return value.derived || !quantities_.gives(value.name);
    });
    const std::string name = display_name(entry->meter.id);
    if (name == entry->meter.display_name) continue;
    entry->meter.display_name = name;
    sinks_.meter_changed(entry->meter);
  }
}

MeterRegistry::Entry* MeterRegistry::find_by_id(std::string_view id) noexcept {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

MeterRegistry::Entry* MeterRegistry::find_by_origin(const Origin& origin) noexcept {
  // The newest meter heard there: a replaced meter sends under the same adapter, or channel.
  Entry* newest = nullptr;
  const auto look_at = [&](Entry* entry) {
    if (entry->is_from(origin) && (!newest || entry->heard > newest->heard)) newest = entry;
  };
  if (origin.parent) {
    std::ranges::for_each(origin.parent->behind, look_at);
  } else if (origin.title) {
    const auto [begin, end] = by_title_.equal_range(*origin.title);
    for (auto at = begin; at != end; ++at) look_at(at->second);
  } else {
    std::ranges::for_each(all_on(origin.adapter), look_at);
  }
  return newest;
}

/// Those that were heard on this adapter last.
std::span<MeterRegistry::Entry* const> MeterRegistry::all_on(
    const Adapter& adapter) const noexcept {
  const auto found = by_adapter_.find(adapter.name);
  if (found == by_adapter_.end()) return {};
  return found->second;
}

void MeterRegistry::give_id(Entry& entry, std::string_view id) {
  by_id_.erase(entry.meter.id);
  slugs_.erase(entry.meter.slug);
  entry.meter.id = id;
  by_id_[entry.meter.id] = &entry;
  // Different ids may have one slug ("a/b", "a-b"), and one is taken by the service itself.
  const std::string stem = meter::slug(id);
  entry.meter.slug = stem;
  const auto is_taken = [&] {
    return entry.meter.slug == "gateway" || !slugs_.insert(entry.meter.slug).second;
  };
  for (unsigned n = 2; is_taken(); ++n) entry.meter.slug = fmt::format("{}-{}", stem, n);
  entry.meter.display_name = display_name(id);
}

void MeterRegistry::move_to(Entry& entry, const Origin& origin) {
  forget_origin(entry);
  entry.adapter_name = origin.adapter.name;
  entry.title = origin.title;
  entry.channel = origin.channel;
  entry.meter.adapter = &origin.adapter;
  by_adapter_[entry.adapter_name].push_back(&entry);
  if (entry.title) by_title_.emplace(*entry.title, &entry);
}

void MeterRegistry::forget_origin(Entry& entry) {
  if (const auto found = by_adapter_.find(entry.adapter_name); found != by_adapter_.end()) {
    std::erase(found->second, &entry);
    if (found->second.empty()) by_adapter_.erase(found);
  }
  if (!entry.title) return;
  auto [at, end] = by_title_.equal_range(*entry.title);
  while (at != end) at = at->second == &entry ? by_title_.erase(at) : std::next(at);
}

void MeterRegistry::set_parent(Entry& entry, Entry* parent) {
  if (entry.parent) std::erase(entry.parent->behind, &entry);
  entry.parent = parent;
  if (parent) parent->behind.push_back(&entry);
}

void MeterRegistry::remove(Entry& entry) {
  forget_origin(entry);
  set_parent(entry, nullptr);
  by_id_.erase(entry.meter.id);
  slugs_.erase(entry.meter.slug);
  std::erase_if(entries_, [&](const auto& other) { return other.get() == &entry; });
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

std::string_view MeterRegistry::zone_of(std::string_view id) const {
  for (const MeterConfig& config : configured_)
    if (config.id == id && !config.zone.empty()) return config.zone;
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || !found->second->meter.adapter) return {};
  return zone_of(*found->second->meter.adapter);
}

/// What the telegram says; what telegrams of this origin said before; what the configuration says;
/// the system title; nothing.
MeterRegistry::Identity MeterRegistry::identity_of(const Adapter& adapter,
                                                   const meter::ReadingSet& readings,
                                                   const Entry* heard,
                                                   std::string_view sender) const {
  std::string id(readings.meter_id_is_title ? "" : readings.meter_id.view());
  if (id.empty() && heard && heard->id_is_final) id = heard->meter.id;
  if (!id.empty()) return {std::move(id), true};
  id = configured_id(adapter);
  if (id.empty()) id = readings.meter_id.view();
  if (id.empty()) id = fmt::format("unknown-{}", sender.empty() ? adapter.name : sender);
  return {std::move(id), false};
}

std::expected<MeterRegistry::Entry*, meter::Errc> MeterRegistry::entry_of(
    const Origin& origin, const Identity& identity, Entry* heard,
    const meter::ReadingSet& readings) {
  Entry* entry = find_by_id(identity.id);
  if (entry && readings.authentication < entry->protection)
    return std::unexpected(meter::Errc::tag_missing);
  const bool is_translated = !origin.adapter.translated_from.empty();
  if (entry && is_translated &&
      (is_read_here(entry->meter) || is_fed_elsewhere(entry->meter, origin.adapter)))
    return std::unexpected(meter::Errc::duplicate);
  if (entry && readings.link == meter::Link::datacollector && is_told_on(entry->meter))
    return std::unexpected(meter::Errc::duplicate);
  const bool is_known = entry && entry->is_from(origin);
  const bool is_learnt = heard && heard != entry && !heard->id_is_final;
  if (!entry && !is_learnt && is_translated && !has_number(readings))
    return std::unexpected(meter::Errc::list_unknown);
  if (!entry && !may_add(origin)) return std::unexpected(meter::Errc::too_many_elements);
  if (!is_known || is_learnt) entry = &add_meter(origin, identity, heard, entry, readings);
  entry->id_is_final = identity.is_final;
  entry->protection = readings.authentication;
  return entry;
}

bool MeterRegistry::may_add(const Origin& origin) const {
  return all_on(origin.adapter).size() <
         (origin.is_shared ? meters_per_source_max : meters_per_adapter_max);
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
  move_to(*entry, origin);
  if (is_new) {
    set_parent(*entry, origin.parent);
    entry->meter.parent_id = origin.parent ? origin.parent->meter.id : "";
    entry->meter.medium = meter::name(readings.medium);
    entry->meter.manufacturer = manufacturer_of(readings, identity.is_final ? identity.id : "");
    entry->meter.encrypted = readings.authentication != meter::Authentication::clear;
    entry->meter.key_state = entry->meter.encrypted ? KeyState::ok : KeyState::not_needed;
    entry->meter.link = readings.link;
    entry->meter.profile = readings.profile;
    entry->meter.is_stateless = origin.adapter.is_stateless;
    log::write(log::Level::notice, log::Event::meter_found,
               fmt::format("{}: meter {} found ({})", origin.adapter.device, identity.id,
                           readings.profile),
               {{"SMARTMETER_ADAPTER", origin.adapter.name}, {"SMARTMETER_METER", identity.id}});
    sinks_.meter_added(entry->meter);
  } else {
    move_behind(*entry, origin.parent);
    if (entry->meter.is_stateless != origin.adapter.is_stateless)
      show_anew(*entry, [&](Meter& meter) { meter.is_stateless = origin.adapter.is_stateless; });
  }
  if (is_learnt) {
    const std::vector<Entry*> behind = heard->behind;
    for (Entry* other : behind) move_behind(*other, entry);
    if (entry != heard) remove(*heard);
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
  set_parent(entry, parent);
  const std::string parent_id = parent ? parent->meter.id : "";
  if (entry.meter.parent_id == parent_id) return;
  show_anew(entry, [&](Meter& meter) { meter.parent_id = parent_id; });
}

void MeterRegistry::accept_sub_meter(Entry& parent, const Origin& of_parent,
                                     const meter::SubMeter& sub_meter, bool is_id_taken,
                                     const Arrival& arrival) {
  const Origin origin{of_parent.adapter, std::nullopt, &parent, sub_meter.channel,
                      of_parent.is_shared};
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
  for (Entry* other : parent.behind) {  // it was replaced
    if (other->channel != sub_meter.channel || other == &entry || !other->meter.fresh) continue;
    if (entry.meter.sequence == 0)
      log::notice("meter {} was replaced by {}", other->meter.id, entry.meter.id);
    other->meter.fresh = false;
    sinks_.meter_changed(other->meter);
  }
  update(entry, origin.adapter, sub_meter_readings_, arrival);
}

void MeterRegistry::merge_values(Meter& meter, std::vector<std::string_view>& changed) {
  std::array<char, meter::DateTime::text_size_max> buffer;
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
    take(reading, text, *found);
    changed.push_back(reading.name);
  }
}

/// Of a meter whose other telegrams may go elsewhere.
void MeterRegistry::replace_values(Meter& meter, std::vector<std::string_view>& changed) {
  std::array<char, meter::DateTime::text_size_max> buffer;
  meter.values.resize(named_.size());
  for (std::size_t i = 0; i < named_.size(); ++i) {
    meter.values[i].name = named_[i].name;
    take(named_[i], text_of(named_[i], buffer), meter.values[i]);
    changed.push_back(named_[i].name);
  }
}

void MeterRegistry::take(const meter::NamedReading& reading, std::string_view text,
                         LatestValue& value) const {
  value.value = reading.value;
  value.text = text;
  value.unit = reading.unit;
  value.is_text = reading.is_text || reading.is_time;
  value.derived = reading.derived;
  value.arrived = loop_.now();
}

void MeterRegistry::keep_registers(Meter& meter, const meter::ReadingSet& readings) {
  std::array<char, meter::DateTime::text_size_max> buffer;
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
                                                 const meter::ReadingSet& readings,
                                                 const Arrival& arrival) {
  const bool has_senders = !arrival.sender.empty();
  const Origin origin{adapter, readings.system_title, nullptr, 0, has_senders};
  // Many meters share a wired M-Bus, or a topic filter: who does not name itself there is not the
  // one before.
  const bool is_shared = readings.link == meter::Link::mbus_master || has_senders;
  Entry* heard = is_shared ? nullptr : find_by_origin(origin);
  const auto found = entry_of(origin, identity_of(adapter, readings, heard, arrival.sender), heard,
                              readings);
  if (!found) return found.error();
  update(**found, adapter, readings, arrival);
  Arrival behind = arrival;
  behind.last_byte.reset();  // a telegram is measured once, however many meters it is about
  for (std::size_t i = 0; i < readings.sub_meters.size(); ++i) {
    meter::sub_meter_telegram(readings, i, sub_meter_readings_);
    const auto before = std::span(readings.sub_meters.begin(), i);
    const bool is_id_taken =
        std::ranges::count(before, readings.sub_meters[i].id, &meter::SubMeter::id) != 0;
    accept_sub_meter(**found, origin, readings.sub_meters[i], is_id_taken, behind);
  }
  return std::nullopt;
}

void MeterRegistry::update(Entry& entry, const Adapter& adapter,
                           const meter::ReadingSet& readings, const Arrival& arrival) {
  Meter& meter = entry.meter;
  entry.heard = ++telegrams_;
  const std::string_view medium = name(readings.medium);
  if (meter.medium != medium && medium != name(meter::Medium::unknown))
    show_anew(entry, [&](Meter& shown) { shown.medium = medium; });
  // What one gateway says of a meter is not mixed with what a port, or another one, says of it.
  const std::string_view feed =
      adapter.translated_from.empty() ? std::string_view() : adapter.name;
  if (entry.feed != feed) {
    entry.feed = feed;
    meter.values.clear();
  }
  std::vector<std::string_view> changed;
  meter::harmonize(readings, quantities_, named_);
  if (meter.is_stateless)
    replace_values(meter, changed);
  else
    merge_values(meter, changed);
  keep_registers(meter, readings);
  bool facts_changed = !meter.is_stateless && measure_interval(entry);
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
  meter.last_update_us = arrival.received_us.value_or(loop_.realtime_us());
  if (arrival.last_byte && adapter.latencies)
    adapter.latencies->decoded.add(io::Clock::now() - *arrival.last_byte);
  sinks_.telegram({meter, readings, named_, quantities_, std::move(changed), arrival.last_byte});
  if (facts_changed) sinks_.meter_changed(meter);
  if (!meter.is_stateless) watch_freshness(entry.stale_at());
}

void MeterRegistry::key_failed(const Adapter& adapter, KeyState state) {
  for (Entry* entry : all_on(adapter)) {
    if (entry->meter.key_state == state) continue;
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
  for (const Entry* entry : all_on(adapter))
    if (!entry->parent && (!newest || entry->heard > newest->heard)) newest = entry;
  return newest ? newest->meter.id : std::string_view();
}

void MeterRegistry::introduce(Sink& sink) const {
  for (const auto& entry : entries_) sink.meter_added(entry->meter);
}

/// One timer for all meters, not moved by each telegram: it looks again when it fires early.
void MeterRegistry::watch_freshness(io::TimePoint stale_at) {
  if (freshness_timer_.pending() && freshness_at_ <= stale_at) return;
  freshness_at_ = stale_at;
  loop_.timer(freshness_timer_, stale_at);
}

void MeterRegistry::check_freshness() {
  for (auto& entry : entries_) {
    if (!entry->can_be_stale()) continue;
    if (entry->stale_at() > loop_.now()) {
      watch_freshness(entry->stale_at());
      continue;
    }
    entry->meter.fresh = false;
    log::warning("meter {} has been silent for {:.0f} s", entry->meter.id,
                 std::chrono::duration<double>(loop_.now() - entry->meter.last_update).count());
    sinks_.meter_changed(entry->meter);
  }
}

}  // namespace smartmeterd
