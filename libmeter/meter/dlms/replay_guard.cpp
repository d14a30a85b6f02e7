// SPDX-License-Identifier: Apache-2.0
// ReplayGuard: the rule of the invocation counter.
#include <algorithm>

#include "meter/dlms/security.hpp"

namespace meter::dlms {

std::size_t ReplayGuard::find(const Telegram& telegram) const noexcept {
  std::size_t i = 0;
  while (i < count_ && (baselines_[i].system_title != telegram.title ||
                        baselines_[i].key_fingerprint != telegram.key_fingerprint))
    ++i;
  return i;
}

/// An empty place, the longest unused one's if need be.
std::size_t ReplayGuard::claim() noexcept {
  if (count_ < baselines_max) return count_++;
  const auto oldest =
      std::min_element(memories_.begin(), memories_.end(),
                       [](const Memory& a, const Memory& b) { return a.used < b.used; });
  *oldest = {};
  return static_cast<std::size_t>(oldest - memories_.begin());
}

ReplayGuard::Verdict ReplayGuard::judge(const Telegram& telegram) const noexcept {
  const std::size_t i = find(telegram);
  if (i == count_) return Verdict::fresh;
  const Memory& memory = memories_[i];
  const std::uint32_t counter = telegram.invocation_counter;
  const std::uint32_t baseline = baselines_[i].invocation_counter;
  if (memory.jump_digest != 0 && counter == memory.jump_counter)
    return telegram.digest == memory.jump_digest ? Verdict::duplicate : Verdict::replayed;
  if (counter > baseline) return Verdict::fresh;
  // What was there before a restart is not known: the same counter then is taken for a repeat.
  if (counter == baseline)
    return memory.last_digest == 0 || memory.last_digest == telegram.digest ? Verdict::duplicate
                                                                            : Verdict::replayed;
  return accept_reset_ ? Verdict::fresh : Verdict::replayed;
}

void ReplayGuard::accept(const Telegram& telegram) noexcept {
  std::size_t i = find(telegram);
  const bool first = i == count_;
  if (first) {
    i = claim();
    baselines_[i] = {telegram.title, telegram.key_fingerprint, telegram.invocation_counter};
  }
  Memory& memory = memories_[i];
  memory.used = ++clock_;
  const std::uint32_t counter = telegram.invocation_counter;
  const bool after_jump = memory.jump_digest != 0 && counter > memory.jump_counter &&
                          counter - memory.jump_counter <= jump_max;
  // Counts up only: a reset is a jump back and was allowed on purpose.
  const bool jumps = !telegram.verified && !after_jump && !first &&
                     counter > baselines_[i].invocation_counter &&
                     counter - baselines_[i].invocation_counter > jump_max;
  if (jumps) {
    memory.jump_counter = counter;
    memory.jump_digest = telegram.digest;
    return;
  }
  baselines_[i].invocation_counter = counter;
  memory.last_digest = telegram.digest;
  memory.jump_digest = 0;
}

void ReplayGuard::restore(const ReplayBaseline& baseline) noexcept {
  const std::size_t i = find(
      {baseline.system_title, baseline.key_fingerprint, baseline.invocation_counter, 0, false});
  const std::size_t place = i == count_ ? claim() : i;
  baselines_[place] = baseline;
  memories_[place] = {.used = ++clock_};
}

}  // namespace meter::dlms
