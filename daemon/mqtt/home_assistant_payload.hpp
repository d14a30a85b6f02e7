// SPDX-License-Identifier: Apache-2.0
// What Home Assistant's MQTT discovery is told of a device and its sensors.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/model.hpp"

namespace smartmeterd::mqtt::home_assistant {

/// One sensor.
struct Component {
  std::string key;  ///< in its device's map, and the end of its ids: [a-z0-9_-]
  std::string unique_id;
  std::string name;         ///< for people
  std::string state_topic;  ///< empty: its device's
  std::string value_template;
  std::string_view device_class = {};
  std::string_view state_class = {};
  std::string_view unit = {};  ///< in Home Assistant's spelling
  std::optional<int> decimals = {};
  std::vector<std::string_view> options = {};  ///< of an enum
  unsigned expire_after_s = 0;                 ///< 0: never
  bool is_diagnostic = false;
};

/// What the sensors of a device have in common.
struct Device {
  std::string id;      ///< identifier and object id: [a-z0-9_-]
  std::string via_id;  ///< identifier of the device in front of it; empty: none
  std::string name;    ///< for people
  std::string manufacturer;
  std::string model;
  std::string serial_number;
  std::string software;
  std::string state_topic;
  std::vector<std::string> availability_topics;  ///< all of them have to say "online"
  int qos = 0;
};

/// The sensor of one value of a meter, without ids; `decimals` are those to show.
Component reading_component(const LatestValue& value, std::string_view medium, int decimals);
/// When the meter was last heard, and how it stands with its key.
Component last_reading_component();
Component key_state_component(std::string info_topic);
/// Messages of the service that were given up.
Component dropped_component();
/// State, problem and number of errors of an adapter.
std::vector<Component> adapter_components(std::string_view adapter_name);

/// "Electricity meter", "Gas meter".
std::string_view medium_name(std::string_view medium) noexcept;
/// "energy_import_t1" → "Energy import tariff 1".
std::string readable(std::string_view quantity_name);
/// Lower case, everything but [a-z0-9] turned into one '_': the end of an entity id.
std::string entity_slug(std::string_view text);

/// A member of a JSON object: its key and its value's text.
using Member = std::pair<std::string, std::string>;

/// Appends the payload of `<prefix>/device/<id>/config`. `others` are further components, given by
/// their key and their JSON.
void write_device(const Device& device, const std::vector<Component>& components,
                  const std::vector<Member>& others, std::string& out);
/// Appends the payload of `<prefix>/sensor/<object id>/config`.
void write_entity(const Device& device, const Component& component, std::string& out);
/// A component that is no more, as Home Assistant wants to be told.
inline constexpr std::string_view removed_component = R"({"p":"sensor"})";
/// Before the other form of discovery takes over: entities keep their settings.
inline constexpr std::string_view migration = R"({"migrate_discovery":true})";

/// The components of a payload of `write_device`; none where it is something else.
std::vector<Member> components_of(std::string_view payload);
/// The unique id in the JSON of a component or an entity; empty where there is none.
std::string unique_id_of(std::string_view json);

}  // namespace smartmeterd::mqtt::home_assistant
