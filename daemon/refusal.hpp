// SPDX-License-Identifier: Apache-2.0
// What a refused telegram means for its adapter and its meter.
#pragma once

#include <optional>
#include <string_view>

#include "daemon/model.hpp"
#include "meter/base/errc.hpp"

namespace smartmeterd {

/// The D-Bus interface's reason for a refusal; static text.
std::string_view reason_of(meter::Errc code) noexcept;
/// Nothing where one like it says nothing about the adapter.
std::optional<Problem> problem_of(meter::Errc code) noexcept;
/// What the problem says of the meter's key; nothing where it is not about one.
std::optional<KeyState> key_state_of(Problem problem) noexcept;
/// What a person can do about a problem with what telegrams say, wherever they come from; empty for
/// other problems.
std::string_view advice_of(Problem problem) noexcept;

}  // namespace smartmeterd
