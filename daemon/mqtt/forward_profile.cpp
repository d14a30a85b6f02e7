// SPDX-License-Identifier: Apache-2.0
// ForwardProfile: counters that the broker missed, told once it is back.
#include "daemon/mqtt/forward_profile.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

namespace {

/// A trickle, so that a long backlog stands in the way of nothing live.
constexpr int offers_per_second_max = 50;
/// Far more than the client lets be on their way: a broker that lets so many wait for an
/// acknowledgement refuses them, and is asked again with the next connection.
constexpr std::size_t unacknowledged_max = 100;

/// What adds up: a value that is missed is missed for good, and an old one still counts.
bool is_counter(std::string_view name, meter::Unit unit) {
  if (const meter::Quantity* quantity = meter::find_quantity(name))
    return quantity->state_class.starts_with("total");
  switch (unit) {
    case meter::Unit::kilowatt_hour:
    case meter::Unit::kilovar_hour:
    case meter::Unit::kilovolt_ampere_hour:
    case meter::Unit::cubic_metre:
    case meter::Unit::cubic_metre_corrected:
      return true;
    default:
      return false;
  }
}

/// Counters, and when they were read, where the meter says so: a gas meter's may be an hour old.
bool is_kept(std::string_view name, meter::Unit unit) {
  const meter::Quantity* quantity = meter::find_quantity(name);
  return is_counter(name, unit) ||
         (quantity != nullptr && quantity->use == meter::Quantity::Use::time);
}

}  // namespace

ForwardProfile::ForwardProfile(const ProfileContext& context)
    : context_(context),
      backlog_(*context.backlog),
      prefix_(with_slash(context.broker.prefix)),
      doubt_(2 * context.broker.keepalive),
      answer_([this](int result) {
        if (result != -ECANCELED) on_fetched();
      }) {
  context_.loop.poll(answer_, backlog_.event_fd(), POLLIN);
}

void ForwardProfile::telegram(const Telegram& telegram) {
  const bool online = context_.client.online();
  if (!online) keep_recent();
  constexpr std::int64_t us_per_minute = 60'000'000;
  const std::int64_t minute = telegram.meter.last_update_us / us_per_minute;
  const auto known = minutes_.find(&telegram.meter);
  if (known != minutes_.end() && known->second == minute) return;
  if (std::ranges::none_of(telegram.named, [](const meter::NamedReading& reading) {
        return is_counter(reading.name, reading.unit);
      }))
    return;
  minutes_.insert_or_assign(&telegram.meter, minute);
  const std::string_view payload = state_.write(telegram, false, is_kept);
  if (online) {
    const io::TimePoint now = context_.loop.now();
    while (!recent_.empty() && recent_.front().at + doubt_ < now) recent_.pop_front();
    recent_.push_back({now, telegram.meter.slug, std::string(payload)});
  } else {
    backlog_.append(telegram.meter.slug, payload);
  }
}

/// The connection that they were sent on is gone.
void ForwardProfile::keep_recent() {
  for (const Recent& recent : recent_) backlog_.append(recent.meter, recent.payload);
  recent_.clear();
}

/// Nobody knows what of the former connection's arrived: from the oldest on again.
void ForwardProfile::broker_online() {
  keep_recent();
  fetched_.clear();
  in_flight_.clear();
  last_offered_ = 0;
  is_fetching_ = false;
}

void ForwardProfile::tick() {
  may_offer_ = offers_per_second_max;
  forward();
}

void ForwardProfile::shut_down() {
  if (!context_.client.online()) keep_recent();
}

void ForwardProfile::forward() {
  if (in_flight_.size() >= unacknowledged_max) return;
  while (may_offer_ > 0 && !fetched_.empty()) {
    const Backlog::Entry& entry = fetched_.front();
    topic_.assign(prefix_).append(entry.meter).append("/").append(meter_topic::history);
    // Refused: something live waits, or enough is on its way.
    if (!context_.client.offer(
            {.topic = topic_, .payload = entry.payload, .qos = 1, .content_type = json_type},
            entry.id))
      return;
    --may_offer_;
    last_offered_ = entry.id;
    in_flight_.push_back({.id = entry.id});
    fetched_.pop_front();
  }
  if (!fetched_.empty() || is_fetching_ || backlog_.stored() <= in_flight_.size()) return;
  is_fetching_ = true;
  backlog_.fetch(last_offered_, offers_per_second_max);
}

void ForwardProfile::on_fetched() {
  auto entries = backlog_.take_fetched();
  context_.loop.poll(answer_, backlog_.event_fd(), POLLIN);
  if (!entries || !std::exchange(is_fetching_, false)) return;
  std::ranges::move(*entries, std::back_inserter(fetched_));
  if (context_.client.online() && !fetched_.empty()) forward();
}

void ForwardProfile::acknowledged(std::uint64_t ticket) {
  const auto found = std::ranges::find(in_flight_, ticket, &InFlight::id);
  if (found == in_flight_.end()) return;
  found->is_acknowledged = true;
  // In order, whatever the broker does: so that what follows on the last one is what is left.
  while (!in_flight_.empty() && in_flight_.front().is_acknowledged) {
    backlog_.acknowledge(in_flight_.front().id);
    in_flight_.pop_front();
  }
  forward();
}

}  // namespace smartmeterd::mqtt
