// SPDX-License-Identifier: Apache-2.0
// decode_json() of a build without simdjson.
#include <fmt/core.h>

#include "tools/smartmeterctl/decode_json.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {

int decode_json(tools::CaptureFile&, std::vector<std::byte>, const JsonOptions& options) {
  fmt::print(stderr,
             "smartmeterctl: {}: is JSON, and this program was built without simdjson: "
             "install libsimdjson-dev and build it again\n",
             options.name);
  return exit_nothing;
}

}  // namespace smartmeterctl
