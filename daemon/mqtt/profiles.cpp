// SPDX-License-Identifier: Apache-2.0
// Profiles: which ones a broker's configuration wants.
#include "daemon/mqtt/profiles.hpp"

#include "daemon/mqtt/data_point_profile.hpp"
#include "daemon/mqtt/forward_profile.hpp"
#include "daemon/mqtt/home_assistant.hpp"
#include "daemon/mqtt/raw_profile.hpp"
#include "daemon/mqtt/rl_dsp_profile.hpp"
#include "daemon/mqtt/seed_profile.hpp"
#include "daemon/mqtt/smartmeterd_profile.hpp"

namespace smartmeterd::mqtt {

namespace {

template <class Made>
std::unique_ptr<Profile> make(const ProfileContext& context) {
  return std::make_unique<Made>(context);
}

struct Row {
  std::string_view word;                     ///< in the configuration's list `profiles`
  bool (*is_wanted)(const ProfileContext&);  ///< in place of a word
  std::unique_ptr<Profile> (*make)(const ProfileContext&);
};
constexpr Row rows[] = {
    {"smartmeterd", nullptr, make<SmartmeterdProfile>},
    // About the topics of that profile; without it, or with discovery off, it takes away what was
    // shown.
    {"", [](const ProfileContext&) { return true; }, make<HomeAssistantProfile>},
    {"seed", nullptr, make<SeedProfile>},
    {"rl-dsp", nullptr, make<RlDspProfile>},
    {"datacollector", nullptr, make<DatacollectorProfile>},
    {"plug-test", nullptr, make<PlugTestProfile>},
    {"", [](const ProfileContext& context) { return context.broker.raw; }, make<RawProfile>},
    {"", [](const ProfileContext& context) { return context.backlog != nullptr; },
     make<ForwardProfile>},
};

}  // namespace

Profiles make_profiles(const ProfileContext& context) {
  Profiles profiles;
  if (!context.broker.publishes()) return profiles;
  for (const Row& row : rows)
    if (row.is_wanted ? row.is_wanted(context) : context.broker.has_profile(row.word))
      profiles.push_back(row.make(context));
  return profiles;
}

}  // namespace smartmeterd::mqtt
