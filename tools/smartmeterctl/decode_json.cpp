// SPDX-License-Identifier: Apache-2.0
// decode_json(): messages of gateways through the JSON decoder.
#include "tools/smartmeterctl/decode_json.hpp"

#include <fmt/core.h>

#include <array>
#include <map>
#include <utility>

#include "meter/quantity.hpp"
#include "meter/telegram_json.hpp"
#include "meter_json/decoder.hpp"
#include "tools/smartmeterctl/json_messages.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using meter::Errc;

/// Prints the stages with their offsets in the recording.
class Explainer : public meter::DecodeObserver {
 public:
  void stage(std::string_view stage, std::uint64_t offset, std::string_view text) override {
    fmt::print(stderr, "{:>8}  {:<12}  {}\n", base + offset, stage, text);
  }
  std::uint64_t base = 0;  ///< of the message
};

class JsonDecoding {
 public:
  explicit JsonDecoding(const JsonOptions& options)
      : options_(options),
        decoder_({.rules = {}, .observer = options.explain ? &explainer_ : nullptr}) {}

  int run(tools::CaptureFile& file, std::vector<std::byte> piece) {
    do {
      messages_.add(piece);
      decode();
    } while (file.read(piece));
    messages_.finish();
    decode();
    if (refusals_ > refusals_printed_max)
      fmt::print(stderr, "smartmeterctl: and {} more refusals\n", refusals_ - refusals_printed_max);
    if (telegrams_ != 0) return exit_good;
    fmt::print(stderr, "smartmeterctl: {}: {}\n", options_.name, conclusion());
    return exit_nothing;
  }

 private:
  void decode() {
    while (auto message = messages_.next()) {
      if (message->topic.empty()) message->topic = options_.topic;
      explainer_.base = message->offset;
      if (options_.explain)
        explainer_.stage("message", 0, message->topic.empty() ? "without a topic" : message->topic);
      const auto read = decoder_.read(message->topic, meter::bytes_of(message->text));
      if (!read) {
        // What stands beside messages: "Online", and whatever else a topic may carry.
        const bool is_object = message->text.starts_with('{');
        refuse(message->offset, read.error(),
               is_object ? meter::describe(read.error().code) : "this is no JSON object");
        continue;
      }
      while (decoder_.next(readings_)) print_telegram();
      if (decoder_.format() == meter::json::Format::glow_state) ++states_;
    }
  }

  void refuse(std::uint64_t offset, const meter::Fault& fault, std::string_view reason) {
    ++refused_[std::to_underlying(fault.code)];
    if (++refusals_ > refusals_printed_max) return;
    fmt::print(stderr, "smartmeterctl: offset {}: {} ({})\n", offset + fault.offset, reason,
               meter::name(fault.code));
  }

  /// Nothing of a gateway's own state: it is no meter.
  void print_telegram() {
    if (readings_.medium == meter::Medium::system) return;
    ++telegrams_;
    meter::harmonize(readings_, map_, named_);
    meter::TelegramFacts facts;
    facts.meter_id = readings_.meter_id.view();
    facts.sequence = ++sequences_[std::string(facts.meter_id)];
    json_.clear();
    meter::write_telegram_json(readings_, {named_.begin(), named_.end()}, map_, facts, json_);
    fmt::print("{}\n", json_);
  }

  /// Why there was no telegram, and what to do next.
  std::string conclusion() const {
    if (states_ != 0)
      return "holds the state of the gateway alone, no meter's readings: record its SENSOR topics";
    for (const Errc code : {Errc::truncated, Errc::malformed, Errc::oversize,
                            Errc::nesting_too_deep, Errc::too_many_elements})
      if (refused_[std::to_underlying(code)] != 0)
        return fmt::format("no message could be read: {}", meter::describe(code));
    if (refused_[std::to_underlying(Errc::list_unknown)] != 0)
      return "JSON, but of no gateway that is known: where the topic tells what it is, give it "
             "with --topic, or record with mosquitto_sub -v";
    return "the messages hold no readings";
  }

  static constexpr std::uint64_t refusals_printed_max = 20;
  const JsonOptions& options_;
  Explainer explainer_;
  meter::json::Decoder decoder_;
  JsonMessages messages_;
  meter::QuantityMap map_;
  meter::ReadingSet readings_;
  meter::NamedReadings named_;
  std::map<std::string, std::uint64_t> sequences_;
  std::array<std::uint64_t, meter::errc_count> refused_{};
  std::uint64_t refusals_ = 0, telegrams_ = 0, states_ = 0;
  std::string json_;
};

}  // namespace

int decode_json(tools::CaptureFile& file, std::vector<std::byte> piece,
                const JsonOptions& options) {
  return JsonDecoding(options).run(file, std::move(piece));
}

}  // namespace smartmeterctl
