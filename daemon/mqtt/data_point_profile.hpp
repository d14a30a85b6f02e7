// SPDX-License-Identifier: Apache-2.0
// DataPointProfile: one topic for each value, as smartmeter-datacollector and the Swiss plug-test
// have it.
#pragma once

#include <span>
#include <string>

#include "daemon/mqtt/profile.hpp"
#include "meter/data_point.hpp"

namespace smartmeterd::mqtt {

/// {"value":…,"timestamp":…} for each reading of a telegram that has a name there, whatever it is
/// called here; the time is that of its arrival. Not retained. A meter that is read from such
/// topics is not published in them: it would come back.
class DataPointProfile : public Profile {
 public:
  void telegram(const Telegram& telegram) final;

 protected:
  DataPointProfile(const ProfileContext& context, std::string prefix,
                   std::span<const meter::DataPoint> points);

 private:
  virtual void append_topic(const meter::DataPoint& point, std::string& topic) const = 0;
  virtual void append_payload(const meter::Decimal& value, std::int64_t epoch_s,
                              std::string& payload) const = 0;

  ProfileContext context_;
  std::string prefix_;
  std::span<const meter::DataPoint> points_;
  // Reused for each telegram, so that none allocates.
  std::string topic_;
  std::string payload_;
};

/// `<prefix>/<meter id>/ACTIVE_POWER_P`: github.com/scs/smartmeter-datacollector,
/// smartmeter_datacollector/sinks/mqtt_sink.py; names and units: smartmeter/meter_data.py.
class DatacollectorProfile final : public DataPointProfile {
 public:
  explicit DatacollectorProfile(const ProfileContext& context);

 private:
  void append_topic(const meter::DataPoint& point, std::string& topic) const override;
  void append_payload(const meter::Decimal& value, std::int64_t epoch_s,
                      std::string& payload) const override;
};

/// `<prefix>/<meter id>/power/power_in`: github.com/tom-ch1/
/// EnergyDataHackday2021_SmartMeter_Local_CII. Energies are in Wh, as in the data collector's
/// topics, whose values the plug-test passed on as they were.
class PlugTestProfile final : public DataPointProfile {
 public:
  explicit PlugTestProfile(const ProfileContext& context);

 private:
  void append_topic(const meter::DataPoint& point, std::string& topic) const override;
  void append_payload(const meter::Decimal& value, std::int64_t epoch_s,
                      std::string& payload) const override;
};

}  // namespace smartmeterd::mqtt
