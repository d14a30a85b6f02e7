// SPDX-License-Identifier: Apache-2.0
// Secret files: those that a configuration names.
#pragma once

#include "daemon/config.hpp"

namespace smartmeterd {

/// Throws ConfigError, with the place of the setting, for the first that holds no password. Logs a
/// warning of each that this user may not read, or that others may.
void check_secret_files(const Config& config);

}  // namespace smartmeterd
