// SPDX-License-Identifier: Apache-2.0
// Telegram, mismatch(): what the decoder made of a capture, held against what its source says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "meter/quantity.hpp"
#include "meter/reading.hpp"
#include "tests/corpus/sample.hpp"

namespace meter::corpus {

/// A Reading without views.
struct Register {
  Obis obis;
  Reading::Kind kind = Reading::Kind::number;
  bool scale_unknown = false;
  Decimal value;
  Unit unit = Unit::none;
  std::string text;  ///< the octets as sent
  std::string time;  ///< of a date-time, as it is printed
  std::string label;
  bool is_record = false;
  std::uint64_t storage = 0, tariff = 0, subunit = 0;
  std::string function;
  friend bool operator==(const Register&, const Register&) = default;
};
/// A ReadingSet without views.
struct Telegram {
  Link link = Link::raw;
  std::string profile;
  std::string meter, time, utc;
  std::vector<std::string> sub_meters;
  std::vector<Register> registers;
  struct Named {
    std::string name;
    Decimal value;
    Unit unit = Unit::none;
    friend bool operator==(const Named&, const Named&) = default;
  };
  std::vector<Named> named;
  friend bool operator==(const Telegram&, const Telegram&) = default;
};
Telegram keep(const ReadingSet& readings);

/// What is wrong with the telegrams; empty: nothing. Telegram k against telegram k where the
/// numbers agree, else some telegram must fit each expected one.
std::string mismatch(const std::vector<Telegram>& telegrams, const Expectation& expectation);
/// What is wrong with one reading of a telegram; empty: nothing.
std::string mismatch(const Telegram& telegram, const ExpectedReading& expected);

}  // namespace meter::corpus
