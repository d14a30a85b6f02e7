// SPDX-License-Identifier: Apache-2.0
// Connection: a message bus that comes and goes, on the loop.
#pragma once

#include <systemd/sd-bus.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "daemon/io/loop.hpp"

namespace smartmeterd::bus {

struct BusDeleter {
  // Not flushed: that would block where the bus has stalled.
  void operator()(sd_bus* bus) const noexcept { sd_bus_close_unref(bus); }
};
struct SlotDeleter {
  void operator()(sd_bus_slot* slot) const noexcept { sd_bus_slot_unref(slot); }
};
struct MessageDeleter {
  void operator()(sd_bus_message* message) const noexcept { sd_bus_message_unref(message); }
};
using BusPtr = std::unique_ptr<sd_bus, BusDeleter>;
using Slot = std::unique_ptr<sd_bus_slot, SlotDeleter>;
using Message = std::unique_ptr<sd_bus_message, MessageDeleter>;

inline constexpr const char* bus_name = "org.smartmeterd1";

/// Keeps one connection to the bus and the well-known name on it. A bus that is missing or lost,
/// or that refuses the name, is asked again after 1 s, doubling to 30 s; where another process has
/// the name, the bus keeps our place in its queue. Each change is logged once. Never blocks, and
/// wakes nobody up while the bus is there.
class Connection {
 public:
  class Owner {
   public:
    /// A new connection: register objects. Calls are answered once the name is ours.
    virtual void bus_opened(sd_bus& bus) = 0;
    /// The connection goes: drop its slots.
    virtual void bus_closed() = 0;
    /// All that was sent is in the bus's socket.
    virtual void bus_written() = 0;

   protected:
    ~Owner() = default;
  };

  Connection(io::Loop& loop, std::string address, Owner& owner);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The first attempt; call once.
  void start() { open(); }
  /// Null while there is no bus.
  sd_bus* bus() const noexcept { return bus_.get(); }
  /// The name is ours: signals can have a reader.
  bool serving() const noexcept { return state_ == State::serving; }
  /// Messages that were sent and wait for the bus, because its socket is full.
  std::uint64_t queued() const noexcept;

 private:
  enum class State { starting, missing, refused, taken, serving };
  /// A request of the loop that is taken back and made anew when what it waits for changes.
  struct Armed {
    std::optional<io::Operation> operation;
    bool cancelling = false;
  };

  void open();
  int request_name();
  void close(int error);
  void pump();
  void arm();
  template <class Arm>
  void arm(Armed& armed, bool wanted, bool same, Arm start);
  void disarm(Armed& armed);
  void retry_later();
  void enter(State state, const std::string& why);
  void on_name_reply(sd_bus_message& reply);
  void on_name_signal(sd_bus_message& signal);

  io::Loop& loop_;
  std::string address_;
  Owner& owner_;
  int hook_;
  BusPtr bus_;
  Slot name_request_;
  Slot name_signals_;
  State state_ = State::starting;
  Armed poll_;
  int polled_fd_ = -1;
  int polled_events_ = 0;
  Armed timeout_;
  std::uint64_t deadline_us_ = 0;
  io::Operation retry_;
  std::chrono::seconds retry_delay_;
};

}  // namespace smartmeterd::bus
