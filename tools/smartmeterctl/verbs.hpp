// SPDX-License-Identifier: Apache-2.0
// The verbs of smartmeterctl, one file each.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <stdexcept>
#include <string>

namespace smartmeterctl {

// What the process ends with.
inline constexpr int exit_good = 0, exit_nothing = 1, exit_usage = 2;

/// The command line makes no sense beyond what its syntax shows: exit_usage.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What the verbs on the bus share.
struct BusOptions {
  std::string bus = "system";
  bool json = false;
  std::string meter;  ///< id or name; empty: all

  void add_to(CLI::App& command, bool with_meter, bool with_json = true);
};

/// Adds the verb to `app`; where it is chosen, `action` becomes its work, which returns the exit
/// status and throws std::exception with a sentence for the user.
using Action = std::function<int()>;
void add_capture(CLI::App& app, Action& action);
void add_claim(CLI::App& app, Action& action);
void add_decode(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_history(CLI::App& app, Action& action);
void add_key(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_plot(CLI::App& app, Action& action);
void add_probe(CLI::App& app, Action& action);
void add_replay(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);
void add_unclaim(CLI::App& app, Action& action);
void add_watch(CLI::App& app, Action& action);

}  // namespace smartmeterctl
