// SPDX-License-Identifier: Apache-2.0
// HomeAssistantProfile: meters appear in Home Assistant by themselves.
#pragma once

#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/mqtt/home_assistant_payload.hpp"
#include "daemon/mqtt/profile.hpp"

namespace smartmeterd::mqtt {

/// MQTT discovery: one device for each meter and one for the service, in the form that the
/// configuration wants, about the topics of the profile "smartmeterd"; none without that one.
///
/// The broker remembers what an earlier run said (it is retained). Before anything is published
/// the profile therefore looks back: it subscribes to discovery for a moment, and of what comes
/// takes that of its own instance alone. So entities in the other form, under another
/// discovery_prefix or of a quantity that is left out now are removed; those of a meter that has
/// not been heard yet, and of a list that has not come yet, stay.
class HomeAssistantProfile final : public Profile {
 public:
  explicit HomeAssistantProfile(const ProfileContext& context);

  void adapter_added(const Adapter& adapter) override;
  void adapter_removed(const Adapter& adapter) override;
  void meter_added(const Meter& meter) override;
  void meter_changed(const Meter& meter) override;
  void meter_removed(const Meter& meter) override;
  void telegram(const Telegram& telegram) override;
  void broker_online() override;
  void tick() override;
  void shut_down() override { is_over_ = true; }
  void message(const Message& message) override;

 private:
  /// One that the broker has from us, by component.
  struct Shown {
    std::string unique_id;
    std::string json;         ///< as an earlier run said it, in device form
    bool is_earlier = false;  ///< an earlier run said it, and this one does not know it yet
  };
  /// A quantity that the meter has.
  struct Quantity {
    std::string name;
    int decimals;                 ///< the most that it came with
    std::string_view bridge_key;  ///< what the bridge calls it; empty: it does not know it
  };
  /// A meter, or the service itself.
  struct Entry {
    const Meter* meter = nullptr;  ///< null: the service
    std::vector<Quantity> quantities;
    unsigned expire_after_s = 0;
    io::TimePoint first_heard{};
    bool has_been_heard = false;
    bool is_earlier_checked = false;           ///< against the names that quantities have now
    io::TimePoint due = io::TimePoint::max();  ///< when to publish what has changed
    bool is_taken_over = false;                ///< what the look back found of it is in here
    std::map<std::string, Shown, std::less<>> shown;
    std::vector<std::string> old_topics;  ///< of the other form: to be migrated
  };
  /// A discovery topic of ours.
  struct Found {
    bool is_device_form;
    std::string device;     ///< id of its device
    std::string component;  ///< key; empty in device form
    std::string topic;
    std::string payload;
  };

  std::string device_id(const Entry& entry) const;
  std::string topic_of(std::string_view device_id) const;
  std::string topic_of(std::string_view device_id, std::string_view component) const;
  home_assistant::Device describe(const Entry& entry) const;
  std::vector<home_assistant::Component> components_of(const Entry& entry) const;

  bool learn_quantities(Entry& entry, const Telegram& telegram);
  void check_earlier(Entry& entry, const Telegram& telegram);
  void forget_earlier(Entry& entry);
  unsigned expire_after(const Entry& entry) const;
  void publish_due();
  void publish(Entry& entry);
  void publish_as_device(Entry& entry, const home_assistant::Device& device,
                         const std::vector<home_assistant::Component>& components);
  void publish_as_entities(Entry& entry, const home_assistant::Device& device,
                           const std::vector<home_assistant::Component>& components);
  void forget_what_left(Entry& entry, const std::vector<home_assistant::Component>& components);
  void say(const std::string& topic, std::string_view payload);
  void remove(Entry& entry);

  void look_back();
  void end_look_back();
  void found(std::string_view topic, std::string_view payload);
  bool is_own(std::string_view payload) const;
  void take_over(Entry& entry);

  ProfileContext context_;
  Discovery form_;
  std::string prefix_;     ///< of state topics, with a slash at its end
  std::string gateway_;    ///< "smartmeter/gateway/<instance>/"
  std::string discovery_;  ///< with a slash at its end
  std::vector<std::string> look_back_filters_;
  bool is_looking_back_ = true;
  int look_backs_ = 0;
  io::TimePoint look_back_end_{};
  std::vector<Found> found_;
  std::size_t found_bytes_ = 0;  ///< of their payloads
  bool is_over_ = false;
  bool has_too_many_ = false;

  Entry service_;
  std::vector<const Adapter*> adapters_;
  std::unordered_map<const Meter*, Entry> meters_;
  io::TimePoint next_due_ = io::TimePoint::max();
  std::string bridge_device_;  ///< id of the meter that has the bridge's unique ids; empty: none
  std::string payload_;
  std::minstd_rand random_;
  io::Operation say_again_;
};

}  // namespace smartmeterd::mqtt
