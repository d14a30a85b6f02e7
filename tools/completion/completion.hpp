// SPDX-License-Identifier: Apache-2.0
// Completion: what can stand where a word is being typed, told by the program's own command line.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace completion {

/// Something that can be typed, and what the shell shows beside it.
struct Word {
  std::string text;
  std::string about;
};

/// The options that were typed so far, and their values.
using Typed = std::map<std::string, std::string, std::less<>>;

/// What a value can be: words, which are asked for only where such a value is typed, or paths where
/// there are none.
struct Kind {
  enum class Paths { none, files, directories };
  Kind(Paths which) : paths(which) {}
  Kind(std::function<std::vector<Word>(const Typed&)> ask, Paths otherwise = Paths::none)
      : paths(otherwise), words(std::move(ask)) {}
  Paths paths = Paths::none;
  std::function<std::vector<Word>(const Typed&)> words;
};

/// Kinds of values by the name that --help shows: of the verb and the value, where a name means
/// different things ("key remove NAME", "decode --zone"), of the option ("--zone"), or of the value
/// ("METER"). FILE, PATH and DIR are known; what CLI::IsMember allows needs none.
using Kinds = std::map<std::string, Kind, std::less<>>;

/// What can stand in place of the last word.
struct Answer {
  Kind::Paths paths = Kind::Paths::none;
  std::string before;       ///< what stands before the path in the same word: "--out=", "@"
  std::vector<Word> words;  ///< whole words; not only those that begin as the typed one does
};

/// `words` are those behind the program's name, without the shell's quotes; the last one is being
/// typed and may be empty.
Answer complete(const CLI::App& app, const Kinds& kinds, const std::vector<std::string>& words);

/// The option that the shells' scripts call the program with; --help does not show it.
inline constexpr std::string_view option = "--complete";
bool is_asked(int argc, const char* const* argv);
/// Reads the words from standard input, each with a NUL behind it (arguments could be seen by other
/// users, and what is typed may be a key), and prints the answer: a line "words", "files BEFORE" or
/// "directories BEFORE", then a line for each word, with a tab before what it is. Words that would
/// not fit a line are left out. The exit status.
int answer(const CLI::App& app, const Kinds& kinds);

}  // namespace completion
