// SPDX-License-Identifier: Apache-2.0
// smartmeterctl: shows what smartmeterd reads, claims adapters, keeps keys, decodes recordings.
#include <fmt/core.h>
#include <sys/prctl.h>

#include <csignal>
#include <exception>
#include <sstream>

#include "tools/completion/completion.hpp"
#include "tools/smartmeterctl/completions.hpp"
#include "tools/smartmeterctl/key_mask.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace {

constexpr const char* footer = R"(
Examples:
  smartmeterctl claim                          serial adapters, and how to claim one
  sudo smartmeterctl key add house             asks for the meter's key
  smartmeterctl list                           adapters and meters, and what is wrong with them
  sudo smartmeterctl doctor                    why there are no readings
  sudo smartmeterctl probe                     find the adapter's line settings anew
  smartmeterctl show                           every value of every meter
  smartmeterctl watch                          all meters live
  smartmeterctl watch --json                   one JSON object for each telegram
  smartmeterctl history --month                days of this month; --csv for a spreadsheet
  smartmeterctl plot --week                    power and energy, drawn
  smartmeterctl decode --key @guek.txt capture.bin

smartmeterctl VERB --help says more.
Exit status: 0 good, 1 nothing found or an error, 2 wrong usage.)";

}  // namespace

int main(int argc, char** argv) {
  using namespace smartmeterctl;
  ::prctl(PR_SET_DUMPABLE, 0);  // keys never reach a core dump, nor another program of this user
  std::signal(SIGPIPE, SIG_DFL);  // the reader of a pipe left: nothing more to do
  CLI::App app("smartmeterctl: look at electricity meters", "smartmeterctl");
  app.footer(footer);
  app.set_version_flag("--version", "smartmeterctl " SMARTMETERCTL_VERSION);
  app.require_subcommand(1);
  Action action;
  add_claim(app, action);
  add_unclaim(app, action);
  add_list(app, action);
  add_show(app, action);
  add_watch(app, action);
  add_history(app, action);
  add_plot(app, action);
  add_capture(app, action);
  add_replay(app, action);
  add_decode(app, action);
  add_key(app, action);
  add_probe(app, action);
  add_doctor(app, action);
  if (completion::is_asked(argc, argv)) return completion::answer(app, completion_kinds());
  const auto complain = [&](const std::exception& error) {
    fmt::print(stderr, "smartmeterctl: {}\n",
               safe_lines(mask_keys(error.what(), {argv + 1, argv + argc})));
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // help, version
    if (argc == 1) {  // "a verb is missing" helps nobody who does not know one
      fmt::print(stderr, "{}", app.help());
      return exit_usage;
    }
    std::ostringstream said;
    app.exit(error, said, said);
    fmt::print(stderr, "smartmeterctl: {}\n",
               safe_lines(mask_keys(said.str(), {argv + 1, argv + argc})));
    return exit_usage;
  }
  try {
    return action();
  } catch (const UsageError& error) {
    complain(error);
    return exit_usage;
  } catch (const std::exception& error) {
    complain(error);
    return exit_nothing;
  }
}
