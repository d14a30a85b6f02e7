// SPDX-License-Identifier: Apache-2.0
// show_stats: what smartmeterd has counted and measured since it started.
#pragma once

#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {

/// `show --stats`; with a meter only that one and the adapter that it is read on. The exit status.
int show_stats(const BusOptions& options);

}  // namespace smartmeterctl
