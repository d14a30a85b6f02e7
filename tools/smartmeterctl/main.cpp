// SPDX-License-Identifier: Apache-2.0
// smartmeterctl: shows what smartmeterd reads, claims adapters, keeps keys, decodes recordings.
#include <fmt/core.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
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

/// A closed descriptor would become that of a file or of the bus. Writing to this one fails.
void hold_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::fcntl(fd, F_GETFD) < 0)
      static_cast<void>(::open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR));
}

/// The exit status: what a full disk cut short must not look whole.
int after_output(int status) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  fmt::print(stderr, "smartmeterctl: standard output: {}\n",
             errno != 0 ? std::strerror(errno) : "not everything could be written");
  return smartmeterctl::exit_nothing;
}

/// What is wrong with the command line.
std::string explain(const CLI::App& app, const CLI::ParseError& error, const std::string& verb) {
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !verb.starts_with('-') &&
      app.get_subcommands([&](const CLI::App* one) { return one->get_name() == verb; }).empty())
    return "there is no verb \"" + verb + "\"; \"smartmeterctl --help\" lists them";
  std::ostringstream said;
  app.exit(error, said, said);
  return said.str();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace smartmeterctl;
  hold_standard_streams();
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
    if (error.get_exit_code() == 0) return after_output(app.exit(error));  // help, version
    if (argc == 1) {  // "a verb is missing" helps nobody who does not know one
      fmt::print(stderr, "{}", app.help());
      return exit_usage;
    }
    fmt::print(stderr, "smartmeterctl: {}\n",
               safe_lines(mask_keys(explain(app, error, argv[1]), {argv + 1, argv + argc})));
    return exit_usage;
  }
  try {
    return after_output(action());
  } catch (const UsageError& error) {
    complain(error);
    return exit_usage;
  } catch (const std::exception& error) {
    complain(error);
    return exit_nothing;
  }
}
