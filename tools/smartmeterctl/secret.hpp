// SPDX-License-Identifier: Apache-2.0
// Secret: text that is wiped from memory, and how a person hands one over.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace smartmeterctl {

/// A text of limited size, wiped when it dies. Its memory never moves: growing would leave copies.
class Secret {
 public:
  explicit Secret(std::size_t size_max);
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  std::string_view view() const { return text_; }
  std::size_t room() const { return text_.capacity() - text_.size(); }
  /// Throws std::length_error beyond the limit.
  void append(std::string_view more);
  /// Up to the end of what `fd` gives, or to the end of a line. True where there was anything.
  /// Throws std::runtime_error where it is too long, cannot be read, or a signal stops it.
  bool read(int fd, bool line);

 private:
  std::string text_;
};

/// What an operator prints of two keys fits many times.
inline constexpr std::size_t secret_input_max = 4096;

/// Whether a person is asked; otherwise standard input holds the secret.
bool is_prompting();
/// Asks on the terminal without showing what is typed; one line.
void prompt_secret(const std::string& question, Secret& answer);

}  // namespace smartmeterctl
