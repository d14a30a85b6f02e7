// SPDX-License-Identifier: Apache-2.0
// Calendar: days, weeks and months of a place, with its summer time.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace smartmeterd::history {

enum class Period : std::uint8_t { day, week, month };  ///< a week begins on Monday (ISO 8601)

/// By the system's zone database, which is read when a zone is asked for the first time.
class Calendar {
 public:
  /// An IANA name, or "" for the system's zone; else a sentence that says what is wrong.
  static std::expected<Calendar, std::string> of(std::string_view zone, Period period);
  ~Calendar();
  Calendar(Calendar&&) noexcept;
  Calendar& operator=(Calendar&&) noexcept;

  /// The period that a moment is in: begin <= time < end. Seconds since the epoch.
  struct Span {
    std::int64_t begin_s;
    std::int64_t end_s;
  };
  Span around(std::int64_t time_s) const;

 private:
  struct Zone;
  Calendar(std::unique_ptr<Zone> zone, Period period);

  std::unique_ptr<Zone> zone_;
  Period period_;
};

}  // namespace smartmeterd::history
