// SPDX-License-Identifier: Apache-2.0
// MeterRegistry: which meter a telegram belongs to, and that meter's merged state.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"
#include "meter/quantity.hpp"
#include "meter/reading.hpp"

namespace smartmeterd {

/// What is known of a telegram that a gateway has handed on.
struct Arrival {
  std::optional<std::int64_t> received_us = {};  ///< CLOCK_REALTIME; nothing: just now
  /// A slug that names who sent it, where telegrams of several come on one adapter. Empty: the
  /// adapter is that of one meter.
  std::string_view sender = {};
  /// When a port of this machine had read its last byte; nothing: it is not to be measured.
  std::optional<io::TimePoint> last_byte = {};
};

/// Owns every Meter. An id once seen sticks to (adapter, system title): telegrams without one
/// inherit it; until then the meter is "unknown-<adapter>", and becomes the known one when the
/// id is learnt. Meters behind another one (gas, water, heat) are meters of their own in the same
/// way: an id sticks to (parent, channel), until then they are "<parent>-<channel>".
class MeterRegistry {
 public:
  MeterRegistry(io::Loop& loop, Sink& sinks);
  ~MeterRegistry();

  /// Names, ids and quantities from the configuration; meters keep their values.
  void configure(const std::vector<MeterConfig>& meters, meter::QuantityMap quantities);

  /// A telegram that arrived on `adapter` with its last byte at the loop's present time; the meters
  /// behind its meter get their part of it. Refused, with the cause: one that is less protected
  /// than this meter's were before (a forger would leave encryption or tag out; `configure`
  /// forgets), a new meter where there are too many, (`list_unknown`) a new one of a source without
  /// a single number, and (`duplicate`) one of a source whose meter a port of this machine, or
  /// another source, feeds and is not silent, or that may be what we made of a gateway's. Of a
  /// stateless adapter's meters nothing is kept from one telegram to the next.
  std::optional<meter::Errc> accept(const Adapter& adapter, const meter::ReadingSet& readings,
                                    const Arrival& arrival = {});
  /// The zone that the configuration gives to the meters of this adapter; empty: the system's.
  std::string_view zone_of(const Adapter& adapter) const;
  /// The same of one meter.
  std::string_view zone_of(std::string_view id) const;
  /// A telegram of `adapter` could not be opened: shown as the key state of its meters.
  void key_failed(const Adapter& adapter, KeyState state);
  /// The adapter goes away; its meters stay, without it, until they are heard elsewhere.
  void adapter_removed(const Adapter& adapter);

  /// Id of the meter that was heard last on this adapter; empty: none yet.
  std::string_view meter_on(const Adapter& adapter) const noexcept;

  /// Shows a new sink everything that is there.
  void introduce(Sink& sink) const;
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry;
  /// Where a meter's telegrams come from.
  struct Origin {
    const Adapter& adapter;
    std::optional<meter::SystemTitle> title;
    Entry* parent = nullptr;    ///< the meter in front of it
    std::uint8_t channel = 0;   ///< behind that one
    bool is_shared = false;     ///< by the meters of several senders
  };
  /// What a telegram and its origin say of who its meter is.
  struct Identity {
    std::string id;
    bool is_final = false;  ///< telegrams say it; otherwise a better one may come
  };
  /// More than a wired M-Bus has addresses: who sends more names than that makes them up.
  static constexpr std::size_t meters_per_adapter_max = 256;
  /// Of an adapter that stands for many gateways.
  static constexpr std::size_t meters_per_source_max = 16'384;

  Identity identity_of(const Adapter& adapter, const meter::ReadingSet& readings,
                       const Entry* heard, std::string_view sender) const;
  std::expected<Entry*, meter::Errc> entry_of(const Origin& origin, const Identity& identity,
                                              Entry* heard, const meter::ReadingSet& readings);
  Entry& add_meter(const Origin& origin, const Identity& identity, Entry* heard, Entry* entry,
                   const meter::ReadingSet& readings);
  void accept_sub_meter(Entry& parent, const Origin& origin, const meter::SubMeter& sub_meter,
                        bool is_id_taken, const Arrival& arrival);
  void update(Entry& entry, const Adapter& adapter, const meter::ReadingSet& readings,
              const Arrival& arrival);
  bool may_add(const Origin& origin) const;
  std::string_view configured_id(const Adapter& adapter) const;
  Entry* find_by_id(std::string_view id) noexcept;
  Entry* find_by_origin(const Origin& origin) noexcept;
  std::span<Entry* const> all_on(const Adapter& adapter) const noexcept;
  void give_id(Entry& entry, std::string_view id);
  void move_to(Entry& entry, const Origin& origin);
  void forget_origin(Entry& entry);
  static void set_parent(Entry& entry, Entry* parent);
  void remove(Entry& entry);
  std::string display_name(std::string_view id) const;
  template <class Change>
  void show_anew(Entry& entry, Change change);
  void move_behind(Entry& entry, Entry* parent);
  void merge_values(Meter& meter, std::vector<std::string_view>& changed);
  void replace_values(Meter& meter, std::vector<std::string_view>& changed);
  void take(const meter::NamedReading& reading, std::string_view text, LatestValue& value) const;
  static void keep_registers(Meter& meter, const meter::ReadingSet& readings);
  bool measure_interval(Entry& entry);
  void watch_freshness(io::TimePoint stale_at);
  void check_freshness();

  io::Loop& loop_;
  Sink& sinks_;
  std::vector<MeterConfig> configured_;
  meter::QuantityMap quantities_;
  std::vector<std::unique_ptr<Entry>> entries_;
  // The same again: a fleet has thousands, and a telegram must not cost a look at each.
  std::map<std::string, Entry*, std::less<>> by_id_;
  std::set<std::string, std::less<>> slugs_;
  std::map<std::string, std::vector<Entry*>, std::less<>> by_adapter_;
  std::multimap<meter::SystemTitle, Entry*> by_title_;
  meter::NamedReadings named_;
  meter::ReadingSet sub_meter_readings_;  // of the one that is being accepted
  std::uint64_t telegrams_ = 0;
  io::Operation freshness_timer_;
  io::TimePoint freshness_at_{};
};

}  // namespace smartmeterd
