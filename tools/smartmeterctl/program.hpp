// SPDX-License-Identifier: Apache-2.0
// Other programs that smartmeterctl has do something: udevadm, systemctl.
#pragma once

#include <string>
#include <vector>

namespace smartmeterctl {

/// Runs a program from the PATH with these arguments, the first being its name, and waits. Its
/// output goes where ours goes. The exit status; 127 where there is no such program.
int run_program(const std::vector<std::string>& command);

}  // namespace smartmeterctl
