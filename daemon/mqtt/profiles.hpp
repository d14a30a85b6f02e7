// SPDX-License-Identifier: Apache-2.0
// Profiles: which ones a broker's configuration wants.
#pragma once

#include <memory>
#include <vector>

#include "daemon/mqtt/profile.hpp"

namespace smartmeterd::mqtt {

using Profiles = std::vector<std::unique_ptr<Profile>>;
/// In the order in which a telegram is told to them.
Profiles make_profiles(const ProfileContext& context);

}  // namespace smartmeterd::mqtt
