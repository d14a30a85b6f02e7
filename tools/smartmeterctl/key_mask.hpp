// SPDX-License-Identifier: Apache-2.0
// mask_keys(): a key that was typed on the command line by mistake is not repeated.
#pragma once

#include <string>
#include <vector>

namespace smartmeterctl {

/// `text` without what could be a key among the arguments: 32 hex digits or more, with blanks,
/// dashes or colons, also as several arguments. Without line ends at its end; where there was a
/// key, with what to do instead.
std::string mask_keys(std::string text, const std::vector<std::string>& arguments);

}  // namespace smartmeterctl
