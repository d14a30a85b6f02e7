// SPDX-License-Identifier: Apache-2.0
// SourceInput: the Adapter that messages of a broker come on, its state and its counters.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/history/storage.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/meter_registry.hpp"
#include "daemon/model.hpp"
#include "daemon/recent_gaps.hpp"
#include "meter/base/errc.hpp"
#include "meter/date_time.hpp"

namespace smartmeterd {

/// What sources work with; all of it outlives them.
struct SourceEnvironment {
  io::Loop& loop;
  Sink& sinks;
  MeterRegistry& meters;
  history::Storage& storage;
  std::string instance;  ///< slug of this gateway
  /// Prefixes under which smartmeterd publishes, with a slash at their end.
  std::vector<std::string> prefixes;
  bool accept_counter_reset;
  std::set<std::string, std::less<>>& names;  ///< of all inputs
  /// An adapter that is no input has that name.
  std::function<bool(std::string_view)> is_name_taken = [](std::string_view) { return false; };
};

/// One Adapter without a port. Shown to the sinks while it lives.
class SourceInput {
 public:
  /// `device`: "mqtt://host:port/topic".
  SourceInput(const SourceEnvironment& environment, const std::string& name, std::string table,
              std::string device, bool is_stateless);
  ~SourceInput();
  SourceInput(const SourceInput&) = delete;
  SourceInput& operator=(const SourceInput&) = delete;

  const Adapter& adapter() const noexcept { return adapter_; }
  io::TimePoint last_message() const noexcept { return last_message_; }

  void heard(std::size_t bytes);
  /// `protocol`: link name; static text.
  void accepted(std::string_view protocol);
  /// One message was of no use, and why.
  void refused(const meter::Fault& fault);
  /// The same for a cause that is not the content's: "format", "stale", "loop", "limit",
  /// "elsewhere".
  void count(std::string_view reason);
  void keys_changed() noexcept { refusals_ = 0; }
  void set_online(bool is_online);
  void subscription_refused();
  /// To be called now and then: has nothing come for too long?
  void check_silence();

 private:
  void set_state(AdapterState state, Problem problem);
  void tell(Problem problem);

  const SourceEnvironment& environment_;
  Adapter adapter_;
  bool is_online_ = false;
  io::TimePoint online_since_{};
  io::TimePoint last_message_{};
  RecentGaps gaps_;  // between messages
  std::uint64_t refusals_ = 0;  // since the last accepted telegram
  std::array<std::uint64_t, meter::errc_count> faults_{};
  std::array<io::TimePoint, meter::errc_count> last_told_{};
};

/// A retained message of that age says nothing of now. False where the age is not known.
bool is_stale(std::optional<std::int64_t> received_us, std::int64_t now_us) noexcept;
/// The same by a clock that may tell local time alone: it is taken for this system's.
bool is_stale(const std::optional<meter::DateTime>& time, std::int64_t now_us) noexcept;

}  // namespace smartmeterd
