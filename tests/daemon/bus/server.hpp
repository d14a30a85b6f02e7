// SPDX-License-Identifier: Apache-2.0
// Server: a BusSink on a real loop in a thread of its own. World: something to show.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "daemon/bus/bus_sink.hpp"

namespace smartmeterd::bus::test {

class Server {
 public:
  Server(io::Backend backend, BusOptions options) : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    std::promise<void> ready;
    thread_ = std::thread([&, backend, options = std::move(options)] {
      loop_ = io::Loop::make(backend);
      sink_ = make_bus_sink(*loop_, options);
      {
        io::Operation waiting([&](int) {
          run_jobs();
          if (!ending_) wait(waiting);
        });
        wait(waiting);
        ready.set_value();
        loop_->run();
      }
      sink_.reset();
      loop_.reset();  // a ring belongs to the thread that made it
    });
    ready.get_future().wait();
  }
  ~Server() {
    run([this](Sink&) {
      ending_ = true;
      loop_->stop();
    });
    thread_.join();
    close(wake_);
  }

  /// Runs `job` in the loop's thread, and waits for it.
  void run(const std::function<void(Sink&)>& job) {
    std::promise<void> done;
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back([&] {
        job(*sink_);
        done.set_value();
      });
    }
    eventfd_write(wake_, 1);
    done.get_future().wait();
  }
  std::uint64_t iterations() {
    std::uint64_t count = 0;
    run([&](Sink&) { count = loop_->iterations(); });
    return count;
  }

 private:
  void wait(io::Operation& operation) {
    loop_->read(operation, wake_, std::as_writable_bytes(std::span(&count_, 1)), nullptr);
  }
  void run_jobs() {
    std::vector<std::function<void()>> jobs;
    {
      const std::lock_guard lock(mutex_);
      jobs.swap(jobs_);
    }
    for (const auto& job : jobs) job();
  }

  int wake_;
  std::uint64_t count_ = 0;
  bool ending_ = false;
  std::mutex mutex_;
  std::vector<std::function<void()>> jobs_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<Sink> sink_;
  std::thread thread_;
};

/// One adapter, an electricity meter and a gas meter behind it, one broker.
struct World {
  World() {
    adapter.name = "usb-m-bus";
    adapter.device = "/dev/ttyUSB0";
    adapter.links = {"/dev/smartmeter_mbus", "/dev/serial/by-id/usb-m-bus"};
    adapter.kind = "mbus";
    adapter.usb_id = "0403:6001";
    adapter.usb_serial = "A1";
    adapter.state = AdapterState::synced;
    adapter.line = "2400-8E1";
    adapter.protocol = "mbus";
    adapter.bytes_received = 376;
    adapter.telegrams_received = 1;
    adapter.errors = {{"crc", 2}};
    adapter.latencies = &latencies;
    adapter.last_activity_us = 1'700'000'000'000'000;
    electricity.id = "1KFM0200169986";
    electricity.display_name = "Zähler";
    electricity.manufacturer = "KFM";
    electricity.model = "MA309";
    electricity.adapter = &adapter;
    electricity.encrypted = true;
    electricity.key_state = KeyState::ok;
    electricity.link = meter::Link::mbus;
    electricity.authentication = meter::Authentication::verified;
    gas.id = "G-1";
    gas.medium = "gas";
    gas.adapter = &adapter;
    gas.parent_id = electricity.id;
    broker.name = "home";
    broker.state = PublisherState::online;
    broker.broker = "localhost:1883";
  }

  void add_to(Sink& sink) const {
    sink.publisher_added(broker);
    sink.adapter_added(adapter);
    sink.meter_added(electricity);
    sink.meter_added(gas);
  }

  struct Value {
    std::string name;
    meter::Decimal number;
    std::string text;
  };
  /// What the owner of the model does with a telegram: merge it, and tell the sink.
  static void telegram(Sink& sink, Meter& meter, std::vector<Value> values,
                       std::optional<io::TimePoint> last_byte = {}) {
    static const meter::QuantityMap quantities;
    const meter::ReadingSet readings;
    meter::NamedReadings named;
    std::vector<std::string_view> changed;
    for (const Value& value : values) {
      meter::NamedReading reading;
      reading.name = value.name;
      reading.value = value.number;
      reading.text = value.text;
      reading.is_text = !value.text.empty();
      (void)named.push_back(reading);
      auto at = std::ranges::find(meter.values, value.name, &LatestValue::name);
      if (at == meter.values.end()) {
        at = meter.values.insert(at, LatestValue{value.name, {}, {}});
      } else if (at->value == value.number && at->text == value.text) {
        continue;
      }
      changed.push_back(value.name);
      at->value = value.number;
      at->text = value.text;
      at->is_text = reading.is_text;
    }
    ++meter.sequence;
    meter.last_update_us += 5'000'000;
    sink.telegram({meter, readings, named, quantities, changed, last_byte});
  }

  Latencies latencies;
  Adapter adapter;
  Meter electricity;
  Meter gas;
  Publisher broker;
};

}  // namespace smartmeterd::bus::test
