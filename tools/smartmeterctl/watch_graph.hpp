// SPDX-License-Identifier: Apache-2.0
// Pictures of letters: power over time, and a number that is read from across the room.
#pragma once

#include <string_view>
#include <vector>

#include "tools/smartmeterctl/style.hpp"

namespace smartmeterctl {

/// One column for each value, so many rows high, above and below zero; NaN stays empty. `coarse`:
/// only with half blocks.
std::vector<Line> spark(const std::vector<double>& values, unsigned rows, bool coarse);

/// Rows of a number in large digits, and how wide each digit with its gap is.
inline constexpr unsigned large_rows = 3, large_digit_width = 4;
/// Digits only.
std::vector<std::string> large_digits(std::string_view digits);

}  // namespace smartmeterctl
