// SPDX-License-Identifier: Apache-2.0
// The speed that a terminal is set to, arbitrary ones too.
#pragma once

namespace tools {

/// In baud; 0 where it cannot be told.
unsigned line_speed(int fd);

}  // namespace tools
