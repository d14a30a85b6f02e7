// SPDX-License-Identifier: Apache-2.0
// Finds out what a message is, and goes through its meters.
#include "meter_json/decoder.hpp"

#include <utility>

#include "meter_json/format.hpp"

namespace meter::json {
namespace {

/// The first one that finds a meter takes the message: what its content says without doubt comes
/// first, what the topic or single keys tell last.
constexpr FormatRow formats[] = {
    {Format::glow_zcl, Link::glow, "elecMtr or gasMtr holds Zigbee attributes", find_glow_zcl,
     read_glow_zcl},
    {Format::glow_ihd, Link::glow, "electricitymeter or gasmeter holds energy", find_glow_ihd,
     read_glow_ihd},
    {Format::glow_state, Link::glow, "han holds the radio's state: no meter's message",
     find_glow_state, read_glow_state},
    {Format::whatwatt, Link::whatwatt, "report holds instantaneous_power or energy", find_whatwatt,
     read_whatwatt},
    {Format::datacollector, Link::datacollector, "value, and the topic ends in a data point",
     find_datacollector, read_datacollector},
    {Format::harmonised, Link::datacollector, "value, and the topic ends in a group and a name",
     find_harmonised, read_harmonised},
    {Format::amsreader, Link::datacollector, "P with PO or I1, or tPI", find_amsreader,
     read_amsreader},
    {Format::gplug, Link::gplug, "an object holds keys of gPlug, OBIS codes or configured keys",
     find_gplug, read_gplug},
};

}  // namespace

std::string_view name(Format format) noexcept {
  switch (format) {
    case Format::glow_zcl:
      return "glow-zcl";
    case Format::glow_ihd:
      return "glow-ihd";
    case Format::glow_state:
      return "glow-state";
    case Format::gplug:
      return "gplug";
    case Format::whatwatt:
      return "whatwatt";
    case Format::datacollector:
      return "datacollector";
    case Format::harmonised:
      return "harmonised";
    case Format::amsreader:
      return "amsreader";
    case Format::none:
      break;
  }
  return "none";
}

struct Decoder::State {
  DecoderOptions options;
  Document document;
  Sources sources;
  Texts texts;
  Roots roots;
  std::size_t next_root = 0;
  bool ended = false;
  std::string_view topic;
  const FormatRow* format = nullptr;

  Message message() noexcept { return {document, topic, options, sources, texts}; }
  void explain_unused() noexcept;
};

Decoder::Decoder(DecoderOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
}
Decoder::~Decoder() = default;

Format Decoder::format() const noexcept {
  return state_->format ? state_->format->format : Format::none;
}

Result<void> Decoder::read(std::string_view topic, Bytes payload) noexcept {
  State& own = *state_;
  own.topic = topic;
  own.format = nullptr;
  own.roots.clear();
  own.next_root = 0;
  own.ended = false;
  own.texts.clear();
  if (auto parsed = own.document.parse(payload); !parsed) return parsed;
  const Message message = own.message();
  message.explain("json", 0,
                  ExplainLine()
                      .number(payload.size())
                      .text(" octets, ")
                      .number(own.document.nodes().size() - 1)
                      .text(" values"));
  for (const FormatRow& row : formats) {
    row.find(message, own.roots);
    if (own.roots.empty()) continue;
    own.format = &row;
    message.explain("format", own.roots[0],
                    ExplainLine().text(name(row.format)).text(": ").text(row.why));
    return {};
  }
  message.explain("format", 0, "none that is known");
  return fault(Errc::list_unknown);
}

bool Decoder::next(ReadingSet& out) noexcept {
  State& own = *state_;
  Message message = own.message();
  while (own.format && own.next_root < own.roots.size()) {
    const std::size_t root = own.roots[own.next_root++];
    out.clear();
    out.link = own.format->link;
    out.profile = name(own.format->format);
    SetBuilder builder(message, out);
    own.format->read(builder, root, own.roots.size());
    if (out.readings.empty()) continue;
    message.explain("meter", root,
                    ExplainLine()
                        .text(out.meter_id.empty() ? "without an id" : out.meter_id.view())
                        .text(", ")
                        .text(name(out.medium))
                        .text(", ")
                        .number(out.readings.size())
                        .text(" registers"));
    return true;
  }
  if (own.format && !std::exchange(own.ended, true)) own.explain_unused();
  return false;
}

/// Which keys nobody understood.
void Decoder::State::explain_unused() noexcept {
  if (!options.observer) return;
  const Message message = this->message();
  const auto nodes = document.nodes();
  for (std::size_t i = 1; i < nodes.size(); ++i) {
    if (nodes[i].used || nodes[i].end != i + 1) continue;
    char path[text_size_max];
    const std::string_view written = document.write_path(i, path);
    message.explain("ignored", i, written.empty() ? std::string_view("a long path") : written);
  }
}

}  // namespace meter::json
