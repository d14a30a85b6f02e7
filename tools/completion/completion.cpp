// SPDX-License-Identifier: Apache-2.0
// Completion: see the header.
#include "tools/completion/completion.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace completion {
namespace {

/// Options and verbs with an empty group are not for people: --help does not show them either.
bool is_hidden(const auto& what) {
  return what.get_group().empty();
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

bool may_come_again(const CLI::Option& option) {
  return option.get_expected_max() > 1 ||
         option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
}

std::string name_of(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  return option.get_lnames().empty() ? "-" + option.get_snames().front()
                                     : "--" + option.get_lnames().front();
}

/// Where the walk along the typed words has come to.
class Walk {
 public:
  Walk(const CLI::App& app, const Kinds& kinds) : app_(&app), kinds_(kinds) {}

  void pass(const std::string& word);
  Answer at(const std::string& word) const;

 private:
  const CLI::Option* find(const std::string& name) const { return app_->get_option_no_throw(name); }
  const CLI::Option* positional() const;
  void add_options(Answer& answer) const;
  void add_verbs(Answer& answer) const;
  void add_values(Answer& answer, const CLI::Option& option, const std::string& before,
                  const std::string& word) const;
  const Kind* kind_of(const CLI::Option& option, const std::string& type) const;

  const CLI::App* app_;
  const Kinds& kinds_;
  std::string verb_;                      ///< "key add"
  const CLI::Option* pending_ = nullptr;  ///< its value comes next
  bool options_end_ = false;              ///< "--" was there
  int positionals_ = 0;                   ///< values without an option, since the verb
  Typed typed_;
};

void Walk::pass(const std::string& word) {
  const bool is_option = !options_end_ && word.size() > 1 && word.front() == '-';
  // An option whose value may be left out has none where another option follows.
  const bool is_value =
      pending_ != nullptr && !(is_option && pending_->get_items_expected_min() == 0);
  if (is_value) {
    typed_[name_of(*pending_)] = word;
    pending_ = nullptr;
    return;
  }
  pending_ = nullptr;
  if (is_option) {
    if (word == "--") {
      options_end_ = true;
      return;
    }
    const std::size_t equals = word.find('=');
    const CLI::Option* option = find(word.substr(0, equals));
    if (option == nullptr) return;
    typed_[name_of(*option)] = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (equals == std::string::npos && takes_value(*option)) pending_ = option;
    return;
  }
  for (const CLI::App* verb : app_->get_subcommands(nullptr)) {
    if (verb->get_name() != word) continue;
    app_ = verb;
    verb_ += (verb_.empty() ? "" : " ") + word;
    positionals_ = 0;
    return;
  }
  ++positionals_;
}

/// Whose value a word without an option is.
const CLI::Option* Walk::positional() const {
  int last = 0;
  for (const CLI::Option* option : app_->get_options()) {
    if (!option->get_positional()) continue;
    last += std::max(option->get_items_expected_max(), 1);
    if (positionals_ < last) return option;
  }
  return nullptr;
}

void Walk::add_options(Answer& answer) const {
  for (const CLI::Option* option : app_->get_options()) {
    if (option->get_positional() || is_hidden(*option)) continue;
    const std::string name = name_of(*option);
    if (typed_.contains(name) && !may_come_again(*option)) continue;
    answer.words.push_back({name, option->get_description()});
  }
}

void Walk::add_verbs(Answer& answer) const {
  for (const CLI::App* verb : app_->get_subcommands(nullptr))
    if (!verb->get_name().empty() && !is_hidden(*verb))
      answer.words.push_back({verb->get_name(), verb->get_description()});
}

const Kind* Walk::kind_of(const CLI::Option& option, const std::string& type) const {
  const std::string name = name_of(option);
  for (const std::string& key : {verb_ + " " + name, name, type})
    if (const auto kind = kinds_.find(key); kind != kinds_.end()) return &kind->second;
  static const Kind files(Kind::Paths::files), directories(Kind::Paths::directories);
  if (type == "FILE" || type == "PATH" || name == "FILE") return &files;
  if (type == "DIR" || name == "DIR") return &directories;
  return nullptr;
}

/// The values of a CLI::IsMember, which are in the type's name: "KIND:{mbus,ir}".
std::vector<Word> members(const std::string& type) {
  std::vector<Word> words;
  const std::size_t begin = type.find(":{");
  const std::size_t end = begin == std::string::npos ? begin : type.find('}', begin);
  if (end == std::string::npos) return words;
  for (const std::string& text : CLI::detail::split(type.substr(begin + 2, end - begin - 2), ','))
    words.push_back({text, ""});
  return words;
}

void Walk::add_values(Answer& answer, const CLI::Option& option, const std::string& before,
                      const std::string& word) const {
  const std::string type = option.get_type_name();
  std::vector<Word> words = members(type);
  std::string name = type.substr(0, type.find(':'));
  std::erase_if(name, [](char c) { return c == '[' || c == ']'; });
  if (words.empty() && name.ends_with("@FILE")) {  // HEX|@FILE
    if (!word.starts_with('@')) return;
    answer.paths = Kind::Paths::files;
    answer.before = before + "@";
    return;
  }
  if (words.empty()) {
    const Kind* kind = kind_of(option, name);
    if (kind == nullptr) return;
    if (kind->words) words = kind->words(typed_);
    if (words.empty() && kind->paths != Kind::Paths::none) {
      answer.paths = kind->paths;
      answer.before = before;
    }
  }
  for (Word& one : words) answer.words.push_back({before + one.text, std::move(one.about)});
}

Answer Walk::at(const std::string& word) const {
  Answer answer;
  const bool is_option = !options_end_ && word.starts_with('-');
  if (pending_ != nullptr && !(is_option && pending_->get_items_expected_min() == 0)) {
    add_values(answer, *pending_, "", word);
    return answer;
  }
  if (is_option) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      add_options(answer);
    } else if (const CLI::Option* option = find(word.substr(0, equals))) {
      add_values(answer, *option, word.substr(0, equals + 1), word.substr(equals + 1));
    }
    return answer;
  }
  add_verbs(answer);
  if (const CLI::Option* option = positional()) {
    add_values(answer, *option, "", word);
  } else if (answer.words.empty() && !options_end_) {
    add_options(answer);  // nothing else can stand here
  }
  return answer;
}

/// What was typed, as the scripts pass it.
std::vector<std::string> read_words(std::FILE* input) {
  constexpr std::size_t size_max = 1 << 20;  // longer than any line that a shell runs
  std::vector<std::string> words;
  std::string word;
  std::size_t size = 0;
  for (int c = std::fgetc(input); c != EOF && size < size_max; c = std::fgetc(input), ++size) {
    if (c != '\0') {
      word += static_cast<char>(c);
    } else {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

bool fits_a_line(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

Answer complete(const CLI::App& app, const Kinds& kinds, const std::vector<std::string>& words) {
  Walk walk(app, kinds);
  if (words.empty()) return walk.at("");
  for (std::size_t i = 0; i + 1 < words.size(); ++i) walk.pass(words[i]);
  return walk.at(words.back());
}

bool is_asked(int argc, const char* const* argv) {
  return argc == 2 && argv[1] == option;
}

int answer(const CLI::App& app, const Kinds& kinds) {
  const Answer answer = complete(app, kinds, read_words(stdin));
  const char* what = answer.paths == Kind::Paths::none    ? "words"
                     : answer.paths == Kind::Paths::files ? "files"
                                                          : "directories";
  if (!fits_a_line(answer.before)) return EXIT_FAILURE;
  std::printf("%s%s%s\n", what, answer.before.empty() ? "" : " ", answer.before.c_str());
  for (const Word& word : answer.words)
    if (!word.text.empty() && fits_a_line(word.text))
      std::printf("%s\t%s\n", word.text.c_str(), fits_a_line(word.about) ? word.about.c_str() : "");
  return std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace completion
