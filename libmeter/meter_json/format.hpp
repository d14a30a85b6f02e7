// SPDX-License-Identifier: Apache-2.0
// What the formats share: the message, what is remembered of its sender, the set being built.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "meter/explain_line.hpp"
#include "meter_json/decoder.hpp"
#include "meter_json/fields.hpp"

namespace meter::json {

/// What a source said before and need not say again.
struct Source {
  std::uint64_t key = 0;  ///< hash of who it is; 0: free
  MeterId meter_id;
  // Zigbee Smart Energy, 0702: sets 03 and 12
  std::optional<std::uint32_t> multiplier, divisor;
  std::optional<std::uint8_t> unit, alternative_unit;
  // gPlug: the unit of Pi and Po, once the phases' sum proved it; none: not known
  Unit power_unit = Unit::none;
};

class Sources {
 public:
  /// That of the device (`whose`: a meter of several behind it); made where it is new.
  Source& of(Format format, std::string_view device, std::string_view whose) noexcept;

 private:
  std::array<Source, sources_max> sources_{};
  std::size_t oldest_ = 0;
};

/// Room for the texts that registers point at: labels that are composed, times as COSEM octets.
class Texts {
 public:
  void clear() noexcept { size_ = 0; }
  /// The longest piece that is left, at most text_size_max.
  std::span<char> room() noexcept {
    return std::span(text_).subspan(size_, std::min(text_size_max, text_.size() - size_));
  }
  /// Keeps what was written at the front of room().
  void keep(std::size_t size) noexcept { size_ += size; }

 private:
  std::array<char, ReadingSet::readings_max * text_size_max> text_;
  std::size_t size_ = 0;
};

struct Message {
  Document& document;
  std::string_view topic;
  const DecoderOptions& options;
  Sources& sources;
  Texts& texts;

  const Node& operator[](std::size_t index) const noexcept { return document[index]; }
  void explain(std::string_view stage, std::size_t node, std::string_view text) const noexcept {
    if (options.observer) options.observer->stage(stage, document[node].offset, text);
  }
  void explain(std::string_view stage, std::size_t node, ExplainLine line) const noexcept {
    explain(stage, node, line.view());
  }
};

/// Appends registers with their labels to one set.
class SetBuilder {
 public:
  SetBuilder(Message& message, ReadingSet& out) noexcept : message_(message), out_(out) {}

  /// `obis` `Obis{}`: a register that is no reading. The label is the node's path, or `label`.
  void number(std::size_t node, Obis obis, Decimal value, Unit unit, std::uint8_t flags = 0,
              std::string_view label = {}) noexcept;
  void text(std::size_t node, Obis obis, std::string_view text,
            std::string_view label = {}) noexcept;
  /// A time in UTC.
  void time(std::size_t node, Obis obis, const DateTime& time,
            std::string_view label = {}) noexcept;
  /// The number in a node as a register: a unit that is written behind it counts, else `unit`;
  /// null and nan make none. False: there is no number.
  bool value(std::size_t node, Obis obis, std::optional<Unit> unit, int scale = 0) noexcept;
  /// Text or the digits of a number, where they can name a meter, as identity `obis`.
  std::string_view identity(std::size_t node, Obis obis) noexcept;

  Message& message() noexcept { return message_; }
  ReadingSet& set() noexcept { return out_; }

 private:
  void push(std::size_t node, const Reading& reading, std::string_view label) noexcept;
  Message& message_;
  ReadingSet& out_;
};

/// A value at a path, its quantity and the unit in which this format sends it.
struct PathRow {
  std::string_view path;
  Obis obis;
  Unit unit;
};
/// Every row whose path is there.
void read_rows(SetBuilder& builder, std::size_t from, std::span<const PathRow> rows) noexcept;

/// The id, remembered: a message without one is of the same meter as those with it. `parts` are
/// joined where nothing better was ever said.
void settle_identity(ReadingSet& out, Source& source, std::string_view said,
                     std::string_view device, std::string_view suffix) noexcept;

/// The last segment of a topic that names a device: "tele/gPlug10/SENSOR" → "gPlug10".
std::string_view device_of(std::string_view topic) noexcept;
/// Takes the last segment off: "a/b/c" → "c", and "a/b" stays.
std::string_view take_segment(std::string_view& topic) noexcept;

using Roots = InlineVector<std::uint16_t, meters_max>;
/// A kind of message. `find` appends the node of each meter in it; none: it is not this format.
struct FormatRow {
  Format format;
  Link link;
  std::string_view why;  ///< what in the content, or the topic, told
  void (*find)(const Message& message, Roots& roots) noexcept;
  void (*read)(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
};

void find_glow_zcl(const Message& message, Roots& roots) noexcept;
void read_glow_zcl(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_glow_ihd(const Message& message, Roots& roots) noexcept;
void read_glow_ihd(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_glow_state(const Message& message, Roots& roots) noexcept;
void read_glow_state(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_gplug(const Message& message, Roots& roots) noexcept;
void read_gplug(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_whatwatt(const Message& message, Roots& roots) noexcept;
void read_whatwatt(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_datacollector(const Message& message, Roots& roots) noexcept;
void read_datacollector(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_harmonised(const Message& message, Roots& roots) noexcept;
void read_harmonised(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;
void find_amsreader(const Message& message, Roots& roots) noexcept;
void read_amsreader(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept;

}  // namespace meter::json
