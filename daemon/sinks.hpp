// SPDX-License-Identifier: Apache-2.0
// Sinks: one Sink that passes everything on to all of them.
#pragma once

#include <algorithm>
#include <vector>

#include "daemon/model.hpp"

namespace smartmeterd {

/// The outputs in use. Does not own them; a sink is removed before it dies.
class Sinks : public Sink {
 public:
  void add(Sink& sink) { sinks_.push_back(&sink); }
  /// Told before those that are there.
  void add_first(Sink& sink) { sinks_.insert(sinks_.begin(), &sink); }
  void remove(Sink& sink) { std::erase(sinks_, &sink); }

  void adapter_added(const Adapter& adapter) override {
    each([&](Sink& sink) { sink.adapter_added(adapter); });
  }
  void adapter_changed(const Adapter& adapter) override {
    each([&](Sink& sink) { sink.adapter_changed(adapter); });
  }
  void adapter_removed(const Adapter& adapter) override {
    each([&](Sink& sink) { sink.adapter_removed(adapter); });
  }
  void meter_added(const Meter& meter) override {
    each([&](Sink& sink) { sink.meter_added(meter); });
  }
  void meter_changed(const Meter& meter) override {
    each([&](Sink& sink) { sink.meter_changed(meter); });
  }
  void meter_removed(const Meter& meter) override {
    each([&](Sink& sink) { sink.meter_removed(meter); });
  }
  void telegram(const Telegram& telegram) override {
    each([&](Sink& sink) { sink.telegram(telegram); });
  }
  void raw_telegram(const RawTelegram& telegram) override {
    each([&](Sink& sink) { sink.raw_telegram(telegram); });
  }
  void publisher_added(const Publisher& publisher) override {
    each([&](Sink& sink) { sink.publisher_added(publisher); });
  }
  void publisher_changed(const Publisher& publisher) override {
    each([&](Sink& sink) { sink.publisher_changed(publisher); });
  }
  void publisher_removed(const Publisher& publisher) override {
    each([&](Sink& sink) { sink.publisher_removed(publisher); });
  }
  void telegram_rejected(const Adapter& adapter, meter::Fault fault,
                         std::uint64_t count) override {
    each([&](Sink& sink) { sink.telegram_rejected(adapter, fault, count); });
  }

  void probe_progress(const Adapter& adapter, const ProbeProgress& progress) override {
    each([&](Sink& sink) { sink.probe_progress(adapter, progress); });
  }

 private:
  template <class Call>
  void each(Call call) {
    for (Sink* sink : sinks_) call(*sink);
  }
  std::vector<Sink*> sinks_;
};

}  // namespace smartmeterd
