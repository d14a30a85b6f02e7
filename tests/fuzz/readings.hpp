// SPDX-License-Identifier: Apache-2.0
// What every application decoder promises of its readings and of what it explains.
#pragma once

#include "meter/decode_observer.hpp"
#include "meter/reading.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace meter::fuzz {

struct Explained final : DecodeObserver {
  void stage(std::string_view, std::uint64_t, std::string_view text) override {
    require(!text.empty(), "an explanation says something");
  }
};

/// A number can be printed; anything else is a view into the message.
inline void check(const Reading& reading, Bytes message) {
  if (reading.kind() == Reading::Kind::number) {
    char text[Decimal::text_size_max];
    const Decimal value = reading.value();
    require(value.exponent >= -Decimal::exponent_max && value.exponent <= Decimal::exponent_max,
            "an exponent is within ±30");
    require(!value.to_text(text).empty(), "a number can be printed");
    return;
  }
  const Bytes octets = reading.octets();
  require(octets.empty() || (octets.data() >= message.data() &&
                             octets.data() + octets.size() <= message.data() + message.size()),
          "texts are views into the message");
}

}  // namespace meter::fuzz
