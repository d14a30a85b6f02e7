// SPDX-License-Identifier: Apache-2.0
// MeterRegistry: which meter a telegram belongs to, and that meter's merged state.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"
#include "meter/quantity.hpp"
#include "meter/reading.hpp"

namespace smartmeterd {

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
  /// forgets), and a new meter where there are too many.
  std::optional<meter::Errc> accept(const Adapter& adapter, const meter::ReadingSet& readings);
  /// The zone that the configuration gives to the meters of this adapter; empty: the system's.
  std::string_view zone_of(const Adapter& adapter) const;
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
  };
  /// What a telegram and its origin say of who its meter is.
  struct Identity {
    std::string id;
    bool is_final = false;  ///< telegrams say it; otherwise a better one may come
  };
  /// More than a wired M-Bus has addresses: who sends more names than that makes them up.
  static constexpr std::ptrdiff_t meters_per_adapter_max = 256;

  Identity identity_of(const Adapter& adapter, const meter::ReadingSet& readings,
                       const Entry* heard) const;
  std::expected<Entry*, meter::Errc> entry_of(const Origin& origin, const Identity& identity,
                                              Entry* heard, const meter::ReadingSet& readings);
  Entry& add_meter(const Origin& origin, const Identity& identity, Entry* heard, Entry* entry,
                   const meter::ReadingSet& readings);
  void accept_sub_meter(Entry& parent, const Adapter& adapter, const meter::SubMeter& sub_meter,
                        bool is_id_taken);
  void update(Entry& entry, const Adapter& adapter, const meter::ReadingSet& readings);
  bool may_add(const Adapter& adapter) const;
  std::string_view configured_id(const Adapter& adapter) const;
  Entry* find_by_id(std::string_view id) noexcept;
  Entry* find_by_origin(const Origin& origin) noexcept;
  void give_id(Entry& entry, std::string_view id);
  std::string display_name(std::string_view id) const;
  template <class Change>
  void show_anew(Entry& entry, Change change);
  void move_behind(Entry& entry, Entry* parent);
  void merge(Entry& entry, const meter::ReadingSet& readings,
             std::vector<std::string_view>& changed);
  bool measure_interval(Entry& entry);
  void arm_freshness();
  void check_freshness();

  io::Loop& loop_;
  Sink& sinks_;
  std::vector<MeterConfig> configured_;
  meter::QuantityMap quantities_;
  std::vector<std::unique_ptr<Entry>> entries_;
  meter::NamedReadings named_;
  meter::ReadingSet sub_meter_readings_;  // of the one that is being accepted
  std::uint64_t telegrams_ = 0;
  io::Operation freshness_timer_;
};

}  // namespace smartmeterd
