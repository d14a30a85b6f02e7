// SPDX-License-Identifier: Apache-2.0
// redact: a capture without the ids of the meters and persons that its clear telegrams name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/redact_ids.hpp"
#include "tools/smartmeterctl/redact_walk.hpp"

namespace smartmeterctl::redact {

/// What was replaced and what was not; never an id.
struct Report {
  struct Unread : Range {
    std::optional<std::chrono::microseconds> time;  ///< since the start
  };
  std::uint64_t ids = 0, places = 0;
  std::uint64_t ports = 0;      ///< serial numbers and addresses of adapters
  std::uint64_t telegrams = 0;  ///< that were read
  std::uint64_t signed_only = 0;
  std::uint64_t encrypted = 0;
  std::uint64_t comments = 0;
  std::uint64_t unknown_directives = 0;
  std::vector<Unread> unread;

  /// One sentence each, for a person.
  std::vector<std::string> sentences() const;
  /// Values of the capture's #redacted lines.
  std::vector<std::string> directives() const;
};

struct Redacted {
  std::string text;
  Report report;
};

/// It cannot be proven that the capture says the same without the ids: a sentence why.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The capture (smartmeter-capture(5)) with pseudonyms in place of ids: cuts, times, errors and
/// every other reading stay. Decodes both and compares. Throws Error, or tools::CaptureError where
/// `capture` is none.
Redacted redact(std::string_view capture, const Random& random);

/// From the system, so that nobody finds an id again.
Random unpredictable();
/// The same each time, for tests.
Random seeded(std::uint64_t seed);

}  // namespace smartmeterctl::redact
