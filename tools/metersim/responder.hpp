// SPDX-License-Identifier: Apache-2.0
// Responder: a simulated meter that speaks when it is spoken to. A new one is a file with a class,
// and its row in responders() of responder.cpp.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "tools/metersim/meter.hpp"

namespace metersim {

/// What hangs on a line on which the reader asks: a mode C meter, a bus of M-Bus slaves. Pure: it
/// knows neither line nor clock.
class Responder {
 public:
  virtual ~Responder() = default;
  /// Takes what the reader wrote, in pieces as they arrive, perhaps half a request; gives what goes
  /// back over the line now (nothing: the request is not whole, or is not for us).
  virtual Octets received(OctetView octets) = 0;
};

/// A row of `metersim run`: chosen by name like a family.
struct ResponderKind {
  std::string_view name;         ///< "mbus-slaves"
  std::string_view description;  ///< one line for people
  std::unique_ptr<Responder> (*make)(const MeterOptions& options);
};
std::span<const ResponderKind> responders();
/// By name, or null.
const ResponderKind* find_responder(std::string_view name);

}  // namespace metersim
