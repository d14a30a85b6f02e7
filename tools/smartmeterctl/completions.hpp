// SPDX-License-Identifier: Apache-2.0
// What the shells complete values with: meters, adapters, ports, keys, time zones.
#pragma once

#include "tools/completion/completion.hpp"

namespace smartmeterctl {

/// Nothing of it fails, starts a service or takes long: what cannot be had at once is not offered.
/// Texts of others are offered only as far as a terminal may show them.
completion::Kinds completion_kinds();

}  // namespace smartmeterctl
