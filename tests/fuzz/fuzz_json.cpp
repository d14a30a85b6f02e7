// SPDX-License-Identifier: Apache-2.0
// JSON messages: whatever comes, offsets stay inside, every set has one label a register and views
// that can be read, the limits hold, and a good message after it is read as if nothing had been.
// The input is a topic up to the first line end, then the message; what is remembered of one
// message meets the next, so the decoder lives as long as the process.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "meter/quantity.hpp"
#include "meter_json/decoder.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace meter;
using fuzz::require;

volatile unsigned sink = 0;

void touch(std::string_view text) {
  for (const char c : text) sink = sink + static_cast<unsigned char>(c);
}

/// Reads what --explain would print.
struct Reader final : DecodeObserver {
  void stage(std::string_view stage, std::uint64_t offset, std::string_view text) override {
    require(offset <= json::message_size_max, "explanations are of the message");
    touch(stage);
    touch(text);
  }
};

void check(const ReadingSet& set, const QuantityMap& map) {
  static NamedReadings named;
  require(set.details.size() == set.readings.size(), "a label for each register");
  require(!set.readings.empty() && !set.profile.empty(), "a set has registers and a name");
  touch(set.meter_id.view());
  for (const Reading& reading : set.readings) {
    if (reading.kind() != Reading::Kind::number)
      touch(text_of(reading.octets()));
    else
      require(std::abs(reading.value().exponent) <= Decimal::exponent_max, "exponents fit");
  }
  for (const ReadingDetail& detail : set.details) {
    require(detail.label.size() <= json::text_size_max, "labels are limited");
    touch(detail.label);
  }
  harmonize(set, map, named);
}

unsigned read(json::Decoder& decoder, std::string_view topic, Bytes message) {
  static const QuantityMap map;
  static ReadingSet set;
  if (const auto parsed = decoder.read(topic, message); !parsed) {
    require(parsed.error().offset <= message.size(), "the fault's offset is inside");
    require(!decoder.next(set), "what was refused has no sets");
    return 0;
  }
  unsigned sets = 0;
  for (; decoder.next(set); ++sets) check(set, map);
  require(sets <= json::meters_max, "meters are limited");
  return sets;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Reader reader;
  static json::Decoder decoder({.rules = {{"Strom", "", {1, 0, 1, 8, 0}, Unit::watt_hour, 1},
                                          {"Nix", "t", {}, Unit::none, 0}},
                                .observer = &reader});
  const auto* begin = reinterpret_cast<const char*>(data);
  const auto* line_end =
      size != 0 ? static_cast<const char*>(std::memchr(begin, '\n', size)) : nullptr;
  const std::size_t topic_size = line_end ? static_cast<std::size_t>(line_end - begin) : 0;
  const std::string topic(begin, topic_size);
  // An exact copy on the heap: the address sanitizer sees a read behind it.
  const std::size_t skipped = line_end ? topic_size + 1 : 0;
  const std::vector<char> message(begin + skipped, begin + size);
  const std::size_t sets = read(decoder, topic, std::as_bytes(std::span(message)));
  require(sets == read(decoder, topic, std::as_bytes(std::span(message))),
          "the same message again has the same meters");
  require(read(decoder, "tele/good/SENSOR", bytes_of(R"({"z":{"Ei":1.5}})")) == 1,
          "the next good message is read");
  return 0;
}
