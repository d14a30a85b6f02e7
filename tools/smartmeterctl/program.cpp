// SPDX-License-Identifier: Apache-2.0
// Other programs that smartmeterctl has do something: udevadm, systemctl.
#include "tools/smartmeterctl/program.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace smartmeterctl {

int run_program(const std::vector<std::string>& command) {
  constexpr int not_there = 127;
  std::fflush(stdout);  // what was said before comes first
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));  // posix_spawn writes none
  arguments.push_back(nullptr);
  pid_t pid = 0;
  if (::posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0)
    return not_there;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return not_there;
  return WIFEXITED(status) ? WEXITSTATUS(status) : not_there;
}

}  // namespace smartmeterctl
