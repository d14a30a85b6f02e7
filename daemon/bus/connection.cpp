// SPDX-License-Identifier: Apache-2.0
// Connection: sd-bus on the loop, with back-off and the well-known name.
#include "daemon/bus/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "daemon/log.hpp"

namespace smartmeterd::bus {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds retry_first = 1s;
constexpr std::chrono::seconds retry_last = 30s;
/// Messages handled before the loop turns again: a caller that floods us must not starve a meter.
constexpr int messages_per_turn = 64;
/// Answers of org.freedesktop.DBus.RequestName (D-Bus specification, "Message Bus Messages").
constexpr std::uint32_t name_primary_owner = 1, name_in_queue = 2, name_already_owner = 4;

/// Connects and authenticates in the background.
int open_bus(const std::string& address, BusPtr& out) {
  sd_bus* bus = nullptr;
  int r;
  if (address == "system") {
    r = sd_bus_open_system(&bus);
  } else if (address == "session") {
    r = sd_bus_open_user(&bus);
  } else {
    r = sd_bus_new(&bus);
    if (r >= 0) r = sd_bus_set_address(bus, address.c_str());
    if (r >= 0) r = sd_bus_set_bus_client(bus, 1);
    if (r >= 0) r = sd_bus_start(bus);
  }
  out.reset(bus);
  if (r < 0) out.reset();
  return r;
}

std::string error_text(int error) {
  return std::strerror(-error);
}

}  // namespace

Connection::Connection(io::Loop& loop, std::string address, Owner& owner)
    : loop_(loop),
      address_(std::move(address)),
      owner_(owner),
      hook_(loop.add_before_wait([this] { pump(); })),
      retry_([this](int result) {
        if (result < 0) return;
        if (!bus_) {
          open();
        } else if (const int r = request_name(); r < 0) {
          close(r);
        }
      }),
      retry_delay_(retry_first) {}

Connection::~Connection() {
  loop_.remove_before_wait(hook_);
  disarm(poll_);
  disarm(timeout_);
}

void Connection::open() {
  int r = open_bus(address_, bus_);
  if (r < 0) {
    enter(State::missing, error_text(r));
    retry_later();
    return;
  }
  owner_.bus_opened(*bus_);
  const std::string match = std::string(
                                "type='signal',sender='org.freedesktop.DBus',"
                                "path='/org/freedesktop/DBus',"
                                "interface='org.freedesktop.DBus',arg0='") +
                            bus_name + "'";
  sd_bus_slot* slot = nullptr;
  r = sd_bus_add_match_async(
      bus_.get(), &slot, match.c_str(),
      [](sd_bus_message* signal, void* self, sd_bus_error*) noexcept {
        static_cast<Connection*>(self)->on_name_signal(*signal);
        return 0;
      },
      nullptr, this);
  name_signals_.reset(slot);
  if (r >= 0) r = request_name();
  if (r < 0) close(r);
}

int Connection::request_name() {
  sd_bus_slot* slot = nullptr;
  const int r = sd_bus_request_name_async(
      bus_.get(), &slot, bus_name, SD_BUS_NAME_QUEUE,
      [](sd_bus_message* reply, void* self, sd_bus_error*) noexcept {
        static_cast<Connection*>(self)->on_name_reply(*reply);
        return 0;
      },
      this);
  name_request_.reset(slot);
  return r;
}

void Connection::on_name_reply(sd_bus_message& reply) {
  // A connection that ends answers its open calls too; the next sd_bus_process reports it.
  if (sd_bus_is_open(bus_.get()) <= 0) return;
  if (const sd_bus_error* error = sd_bus_message_get_error(&reply)) {
    enter(State::refused, error->message ? error->message : error->name);
    retry_later();
    return;
  }
  std::uint32_t answer = 0;
  sd_bus_message_read(&reply, "u", &answer);
  if (answer == name_primary_owner || answer == name_already_owner) enter(State::serving, "");
  if (answer == name_in_queue) enter(State::taken, "");
}

void Connection::on_name_signal(sd_bus_message& signal) {
  if (sd_bus_message_is_signal(&signal, "org.freedesktop.DBus", "NameAcquired") > 0) {
    enter(State::serving, "");
  } else if (sd_bus_message_is_signal(&signal, "org.freedesktop.DBus", "NameLost") > 0) {
    enter(State::taken, "");
    retry_later();
  }
}

void Connection::close(int error) {
  owner_.bus_closed();
  name_request_.reset();
  name_signals_.reset();
  // Before the bus closes its descriptor, which the kernel may give to somebody else.
  disarm(poll_);
  disarm(timeout_);
  bus_.reset();
  enter(State::missing, error_text(error));
  retry_later();
}

void Connection::retry_later() {
  if (retry_.pending()) return;
  loop_.timer(retry_, loop_.now() + retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, retry_last);
}

void Connection::enter(State state, const std::string& why) {
  if (state == std::exchange(state_, state)) return;
  switch (state) {
    case State::starting:
      break;
    case State::missing:
      log::write(log::Level::warning, log::Event::bus_lost,
                 fmt::format("no message bus ({}): trying again until it comes", why));
      break;
    case State::refused:
      log::write(
          log::Level::warning, log::Event::bus_lost,
          fmt::format(
              "the message bus refuses the name {} ({}): trying again; after an installation "
              "it knows the service's user once \"systemctl reload dbus\" was run",
              bus_name, why));
      break;
    case State::taken:
      log::write(log::Level::warning, log::Event::bus_lost,
                 fmt::format("another process has the name {}: waiting for it", bus_name));
      break;
    case State::serving:
      retry_delay_ = retry_first;
      log::write(log::Level::info, log::Event::bus_back,
                 fmt::format("serving {} on the message bus", bus_name));
      break;
  }
}

void Connection::pump() {
  if (!bus_) return;
  // What is left over makes sd_bus_get_timeout say "now".
  for (int i = 0; i < messages_per_turn; ++i) {
    const int r = sd_bus_process(bus_.get(), nullptr);
    if (r < 0) return close(r);
    if (r == 0) break;
  }
  if (queued() == 0) owner_.bus_written();
  arm();
}

std::uint64_t Connection::queued() const noexcept {
  std::uint64_t queued = 0;
  sd_bus_get_n_queued_write(bus_.get(), &queued);
  return queued;
}

void Connection::arm() {
  const int fd = sd_bus_get_fd(bus_.get());
  const int events = fd < 0 ? fd : sd_bus_get_events(bus_.get());
  std::uint64_t deadline_us = UINT64_MAX;
  const int r = events < 0 ? events : sd_bus_get_timeout(bus_.get(), &deadline_us);
  if (r < 0) return close(r);

  arm(poll_, true, fd == polled_fd_ && events == polled_events_, [&](io::Operation& operation) {
    polled_fd_ = fd;
    polled_events_ = events;
    loop_.poll(operation, fd, static_cast<short>(events));
  });
  // Absolute CLOCK_MONOTONIC in microseconds: the epoch of steady_clock.
  arm(timeout_, deadline_us != UINT64_MAX, deadline_us == deadline_us_,
      [&](io::Operation& operation) {
        deadline_us_ = deadline_us;
        loop_.timer(operation, io::TimePoint(std::chrono::microseconds(deadline_us)));
      });
}

/// `wanted`: something to wait for; `same`: what is armed waits for just that. What was taken
/// back is armed anew once it has completed, on the next turn.
template <class Arm>
void Connection::arm(Armed& armed, bool wanted, bool same, Arm start) {
  if (!armed.operation) armed.operation.emplace([](int) {});
  if (!armed.operation->pending()) {
    armed.cancelling = false;
    if (wanted) start(*armed.operation);
  } else if (!(wanted && same) && !armed.cancelling) {
    armed.cancelling = true;
    loop_.cancel(*armed.operation);
  }
}

void Connection::disarm(Armed& armed) {
  if (armed.operation && armed.operation->pending()) loop_.cancel(*armed.operation);
  armed.operation.reset();
}

}  // namespace smartmeterd::bus
