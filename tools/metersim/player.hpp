// SPDX-License-Identifier: Apache-2.0
// Player: sends telegrams or a capture over a line in the time that a meter takes, with faults.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <string>

#include "tools/metersim/line.hpp"
#include "tools/metersim/meter.hpp"
#include "tools/metersim/responder.hpp"
#include "tools/pause.hpp"

namespace metersim {

/// Every N-th telegram gets the fault; 0: never. Where several fall on one telegram the first of
/// this order counts.
struct FaultPlan {
  unsigned flip = 0;       ///< one flipped bit
  unsigned drop = 0;       ///< not sent
  unsigned cut = 0;        ///< ends early
  unsigned noise = 0;      ///< random bytes before it (the telegram itself is whole)
  unsigned replay = 0;     ///< the run's first telegram again
  unsigned wrong_key = 0;  ///< encrypted with a key that nobody has
};

struct Timing {
  double interval_s = 5;                ///< from the start of a telegram to the next one's
  std::optional<unsigned> baud = 2400;  ///< nothing: as fast as the reader takes it, no interval
  std::uint64_t count = 0;              ///< 0: until stopped
};

using tools::Pause;

class Player {
 public:
  /// `values` gets one JSON line for each telegram; null: none.
  Player(Line& line, Pause& pause, const Timing& timing, std::FILE* values)
      : line_(line), pause_(pause), timing_(timing), values_(values) {}
  /// Sends telegrams of `meter` until the count is reached or a signal comes.
  void play(Meter& meter, const FaultPlan& faults, std::uint64_t seed);
  /// Sends these bytes again and again.
  void play(const Octets& capture);
  /// Lets `responder` answer whoever writes, until a signal comes.
  void serve(Responder& responder);

 private:
  template <class Next>
  void repeat(Next next);
  bool send_paced(OctetView octets);
  Line& line_;
  Pause& pause_;
  Timing timing_;
  std::FILE* values_;
};

}  // namespace metersim
