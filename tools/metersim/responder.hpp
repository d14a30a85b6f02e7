// SPDX-License-Identifier: Apache-2.0
// Responder: a simulated meter that speaks when it is spoken to. A new one is a file with a class,
// and its row in responders() of responder.cpp.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

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
  /// What it says by itself: asked for again and again while the reader is quiet, with the speed
  /// that the reader's end of the line has then (0: cannot be told).
  virtual Octets due([[maybe_unused]] unsigned baud) { return {}; }
};

/// A row of `metersim run`: chosen by name like a family.
struct ResponderKind {
  std::string_view name;         ///< "mbus-slaves"
  std::string_view description;  ///< one line for people
  std::unique_ptr<Responder> (*make)(const MeterOptions& options);
};
std::span<const ResponderKind> responders();
/// The rows of IEC 62056-21.
std::vector<ResponderKind> readout_meters();
/// The wired M-Bus: a heat meter whose readout has two telegrams, and two water meters; by primary
/// and secondary address. The unit number is added to their numbers.
std::vector<ResponderKind> mbus_slaves();
/// By name, or null.
const ResponderKind* find_responder(std::string_view name);

}  // namespace metersim
