// SPDX-License-Identifier: Apache-2.0
// Discovery payloads over the whole table of quantities, byte by byte for one meter; and, with
// --print, the payloads themselves for who checks them against Home Assistant's rules.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string_view>

#include "daemon/mqtt/home_assistant_payload.hpp"
#include "meter/quantity.hpp"

namespace smartmeterd::mqtt::home_assistant {
namespace {

using meter::Quantity;
using meter::Unit;

constexpr std::string_view media[] = {"electricity", "gas", "water", "warm-water", "heat", "other"};

LatestValue value_of(const Quantity& quantity) {
  LatestValue value;
  value.name = quantity.name;
  value.is_text = quantity.use == Quantity::Use::text || quantity.use == Quantity::Use::time;
  value.unit = quantity.unit;
  value.value = {12345, -3};
  return value;
}

/// Every quantity that can be a reading, once.
std::vector<Component> whole_table(std::string_view medium) {
  std::vector<Component> components;
  std::set<std::string_view> names;
  for (const Quantity& quantity : meter::quantities()) {
    if (quantity.use == Quantity::Use::identity || !names.insert(quantity.name).second) continue;
    components.push_back(reading_component(value_of(quantity), medium, 3));
    components.back().unique_id = "smartmeterd_table_" + components.back().key;
    components.back().expire_after_s = 60;
  }
  return components;
}

Device device_of(std::string_view medium) {
  Device device;
  device.id = "smartmeterd_table";
  device.via_id = "smartmeterd_gateway_test";
  device.name = medium_name(medium);
  device.state_topic = "smartmeter/table/state";
  device.availability_topics = {"smartmeter/gateway/test/status", "smartmeter/table/availability"};
  return device;
}

/// One line for each payload: topic, blank, payload.
void print_payloads() {
  for (const std::string_view medium : media) {
    const std::vector<Component> components = whole_table(medium);
    const Device device = device_of(medium);
    std::string payload;
    write_device(device, components, {}, payload);
    std::printf("homeassistant/device/%s/config %s\n", device.id.c_str(), payload.c_str());
    for (const Component& component : components) {
      payload.clear();
      write_entity(device, component, payload);
      std::printf("homeassistant/sensor/%s/config %s\n", component.unique_id.c_str(),
                  payload.c_str());
    }
  }
}

LatestValue number(std::string name, meter::Decimal value, Unit unit) {
  LatestValue latest;
  latest.name = std::move(name);
  latest.value = value;
  latest.unit = unit;
  return latest;
}

TEST(HomeAssistantPayload, OneMeter) {
  Component energy =
      reading_component(number("energy_import", {12048950, -3}, Unit::kilowatt_hour), "", 3);
  energy.unique_id = "smartmeterd_1kfm_energy_import";
  energy.expire_after_s = 60;
  Device device;
  device.id = "smartmeterd_1kfm";
  device.via_id = "smartmeterd_gateway_attic";
  device.name = "Electricity meter";
  device.manufacturer = "KFM";
  device.serial_number = "1KFM";
  device.state_topic = "smartmeter/1kfm/state";
  device.availability_topics = {"smartmeter/gateway/attic/status", "smartmeter/1kfm/availability"};
  device.qos = 1;
  std::string payload;
  write_device(device, {energy}, {{"gone", std::string(removed_component)}}, payload);
  const std::size_t origin = payload.find(R"("o":)"), availability = payload.find(R"("avty":)");
  ASSERT_LT(origin, availability);
  payload.erase(origin, availability - origin);  // it has the version
  EXPECT_EQ(
      payload,
      R"({"dev":{"ids":["smartmeterd_1kfm"],"name":"Electricity meter","mf":"KFM","sn":"1KFM",)"
      R"("via_device":"smartmeterd_gateway_attic"},)"
      R"("avty":[{"t":"smartmeter/gateway/attic/status"},{"t":"smartmeter/1kfm/availability"}],)"
      R"("avty_mode":"all","qos":1,"stat_t":"smartmeter/1kfm/state","cmps":{"energy_import":)"
      R"({"p":"sensor","uniq_id":"smartmeterd_1kfm_energy_import","name":"Energy import",)"
      R"("default_entity_id":"sensor.electricity_meter_energy_import",)"
      R"("val_tpl":"{{ value_json.readings.energy_import | default('') }}",)"
      R"("dev_cla":"energy","stat_cla":"total_increasing","unit_of_meas":"kWh","sug_dsp_prc":3,)"
      R"("exp_aft":60},"gone":{"p":"sensor"}}})");
}

TEST(HomeAssistantPayload, WhatFlowsIsTheClassOfAVolume) {
  const LatestValue volume = number("volume", {1, 0}, Unit::cubic_metre);
  EXPECT_EQ(reading_component(volume, "gas", 0).device_class, "gas");
  EXPECT_EQ(reading_component(volume, "water", 0).device_class, "water");
  EXPECT_EQ(reading_component(volume, "warm-water", 0).device_class, "water");
  EXPECT_EQ(reading_component(volume, "heat", 0).device_class, "volume");
}

TEST(HomeAssistantPayload, NoClassThatHomeAssistantMayNotKnow) {
  for (const char* name : {"reactive_energy_import", "apparent_energy_import"}) {
    const Quantity* quantity = meter::find_quantity(name);
    ASSERT_NE(quantity, nullptr);
    const Component component = reading_component(value_of(*quantity), "electricity", 3);
    EXPECT_EQ(component.device_class, "") << name;
    EXPECT_EQ(component.state_class, "total_increasing") << name;
    EXPECT_EQ(component.unit, meter::symbol(quantity->unit));
  }
}

TEST(HomeAssistantPayload, QuantitiesOfTheUserAreWhatTheirUnitIs) {
  const Component heat_pump =
      reading_component(number("heat_pump", {15, -1}, Unit::kilowatt_hour), "electricity", 1);
  EXPECT_EQ(heat_pump.device_class, "energy");
  EXPECT_EQ(heat_pump.state_class, "total");
  EXPECT_EQ(heat_pump.name, "Heat pump");
  // A name that is a method of Python's dictionary.
  const Component items = reading_component(number("items", {1, 0}, Unit::none), "electricity", 0);
  EXPECT_EQ(items.value_template, "{{ value_json.readings['items'] | default(None) }}");
  EXPECT_FALSE(items.decimals.has_value());
}

TEST(HomeAssistantPayload, Names) {
  EXPECT_EQ(readable("energy_import_t1"), "Energy import tariff 1");
  EXPECT_EQ(readable("voltage_avg_l3"), "Voltage average L3");
  EXPECT_EQ(readable("reactive_energy_q4"), "Reactive energy quadrant 4");
  EXPECT_EQ(entity_slug("Zähler – Küche "), "z_hler_k_che");
}

TEST(HomeAssistantPayload, ComponentsComeBackAsTheyWere) {
  const std::vector<Component> components = whole_table("electricity");
  std::string payload;
  write_device(device_of("electricity"), components, {}, payload);
  const std::vector<Member> members = components_of(payload);
  ASSERT_EQ(members.size(), components.size());
  std::string again;
  write_device(device_of("electricity"), {}, members, again);
  EXPECT_EQ(again, payload);
  for (std::size_t i = 0; i < members.size(); ++i) {
    EXPECT_EQ(members[i].first, components[i].key);
    EXPECT_EQ(unique_id_of(members[i].second), components[i].unique_id);
  }
}

/// Home Assistant refuses a state that is not among an entity's options.
TEST(HomeAssistantPayload, EveryStateIsAnOption) {
  const auto is_last = [](auto state) {
    const auto next = static_cast<decltype(state)>(static_cast<int>(state) + 1);
    return !name(state).empty() && name(next).empty();
  };
  EXPECT_TRUE(is_last(last_adapter_state));
  EXPECT_TRUE(is_last(last_problem));
  EXPECT_TRUE(is_last(last_key_state));
  EXPECT_EQ(key_state_component("info").options.back(), name(last_key_state));
}

TEST(HomeAssistantPayload, WhatIsNotOursHasNoComponents) {
  for (const char* payload :
       {"", "{}", R"({"cmps":)", R"({"cmps":{)", R"({"cmps":{"a)", R"({"cmps":{"a":)",
        R"({"cmps":{"a":{"p":"sensor"})", R"({"cmps":{"a":{"p":"switch"}}})",
        R"({"cmps":{"a":{"p":"sensor","x":"\)", R"({"cmps":{"a":{"p":"sensor","x":[[[[)"})
    EXPECT_LE(components_of(payload).size(), 1u) << payload;
}

}  // namespace
}  // namespace smartmeterd::mqtt::home_assistant

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--print") {
    smartmeterd::mqtt::home_assistant::print_payloads();
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
