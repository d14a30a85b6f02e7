// SPDX-License-Identifier: Apache-2.0
// Profiles: which ones a broker's configuration wants.
#include "daemon/mqtt/profiles.hpp"

#include <algorithm>

#include "daemon/mqtt/forward_profile.hpp"
#include "daemon/mqtt/seed_profile.hpp"
#include "daemon/mqtt/smartmeterd_profile.hpp"

namespace smartmeterd::mqtt {

namespace {

/// The configuration's list `profiles` names it.
bool lists(const BrokerConfig& broker, std::string_view name) {
  return std::ranges::find(broker.profiles, name) != broker.profiles.end();
}

template <class Made>
std::unique_ptr<Profile> make(const ProfileContext& context) {
  return std::make_unique<Made>(context);
}

struct Row {
  bool (*is_wanted)(const ProfileContext&);
  std::unique_ptr<Profile> (*make)(const ProfileContext&);
};
constexpr Row rows[] = {
    {[](const ProfileContext& context) { return lists(context.broker, "smartmeterd"); },
     make<SmartmeterdProfile>},
    {[](const ProfileContext& context) { return lists(context.broker, "seed"); }, make<SeedProfile>},
    {[](const ProfileContext& context) { return context.backlog != nullptr; },
     make<ForwardProfile>},
};

}  // namespace

Profiles make_profiles(const ProfileContext& context) {
  Profiles profiles;
  for (const Row& row : rows)
    if (row.is_wanted(context)) profiles.push_back(row.make(context));
  return profiles;
}

}  // namespace smartmeterd::mqtt
