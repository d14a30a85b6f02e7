// SPDX-License-Identifier: Apache-2.0
// What is offered at each place of a command line.
#include "tools/completion/completion.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using completion::Kind;
using testing::ElementsAre;
using testing::IsEmpty;

/// A program with everything that the real ones have.
class Completion : public testing::Test {
 protected:
  Completion() : app("a program") {
    app.set_version_flag("--version", "1");
    CLI::App* show = app.add_subcommand("show", "every value");
    show->add_option("METER", text, "id or name");
    show->add_option("--bus", text, "the bus")->type_name("BUS");
    show->add_flag("--json", flag, "for machines");
    show->add_option("--root", text)->group("");
    CLI::App* key = app.add_subcommand("key", "keys");
    key->require_subcommand(1);
    CLI::App* test = key->add_subcommand("test", "try keys");
    test->add_option("FILE", text, "a recording");
    test->add_option("--next", text)->expected(0, 1)->type_name("[ADAPTER]");
    test->add_option("--key", list)->type_name("HEX|@FILE")->expected(1)->take_all();
    CLI::App* remove = key->add_subcommand("remove", "forget");
    remove->add_option("NAME", text);
    remove->add_option("--out", text)->type_name("DIR");
    CLI::App* claim = app.add_subcommand("claim", "claim");
    claim->add_option("--kind", text)->check(CLI::IsMember({"mbus", "ir"}))->type_name("KIND");
    claim->add_option("--link", text)->check(CLI::IsMember({"auto", "hdlc"}));
    claim->add_option("--wait", number)->check(CLI::Range(0, 3600));
    app.add_subcommand("secret", "not for people")->group("");
    kinds.emplace("METER", Kind([this](const completion::Typed& typed) {
                    asked = typed;
                    return std::vector<completion::Word>{{"123", "House"}, {"-x", ""}};
                  }));
    kinds.emplace("ADAPTER", Kind([](const completion::Typed&) {
                    return std::vector<completion::Word>{{"tty", ""}};
                  }));
    kinds.emplace("key remove NAME", Kind([](const completion::Typed&) {
                    return std::vector<completion::Word>{{"house", ""}};
                  }));
  }
  std::vector<std::string> offered(const std::vector<std::string>& words) {
    last = completion::complete(app, kinds, words);
    std::vector<std::string> texts;
    for (const completion::Word& word : last.words) texts.push_back(word.text);
    return texts;
  }

  CLI::App app;
  completion::Kinds kinds;
  completion::Typed asked;
  completion::Answer last;
  std::string text;
  std::vector<std::string> list;
  bool flag = false;
  int number = 0;
};

TEST_F(Completion, VerbsFirst) {
  EXPECT_THAT(offered({""}), ElementsAre("show", "key", "claim"));
  EXPECT_EQ(last.words.front().about, "every value");
  EXPECT_THAT(offered({"sh"}), ElementsAre("show", "key", "claim")) << "the shells select";
  EXPECT_THAT(offered({"key", ""}), ElementsAre("test", "remove"));
  EXPECT_THAT(offered({"--version", ""}), ElementsAre("show", "key", "claim"));
}

TEST_F(Completion, OptionsOfTheVerb) {
  EXPECT_THAT(offered({"-"}), ElementsAre("--help", "--version"));
  EXPECT_THAT(offered({"show", "--"}), ElementsAre("--help", "--bus", "--json"));
  EXPECT_THAT(offered({"show", "--json", "-"}), ElementsAre("--help", "--bus")) << "once is enough";
  EXPECT_THAT(offered({"key", "test", "--key", "00", "--k"}),
              ElementsAre("--help", "--next", "--key"))
      << "may come again";
}

TEST_F(Completion, ValuesOfArguments) {
  EXPECT_THAT(offered({"show", ""}), ElementsAre("123", "-x"));
  EXPECT_THAT(offered({"show", "--json", ""}), ElementsAre("123", "-x"));
  EXPECT_THAT(offered({"show", "123", ""}), ElementsAre("--help", "--bus", "--json"))
      << "no second meter: only options can follow";
  EXPECT_THAT(offered({"show", "--", "-"}), ElementsAre("123", "-x"));
  EXPECT_THAT(offered({"key", "remove", ""}), ElementsAre("house"));
}

TEST_F(Completion, TheSourceOfValuesKnowsTheOptions) {
  offered({"show", "--bus", "unix:path=/b", ""});
  EXPECT_EQ(asked["--bus"], "unix:path=/b");
  offered({"show", "--bus=session", "--json", ""});
  EXPECT_EQ(asked["--bus"], "session");
}

TEST_F(Completion, ValuesOfOptions) {
  EXPECT_THAT(offered({"claim", "--kind", ""}), ElementsAre("mbus", "ir"));
  EXPECT_THAT(offered({"claim", "--kind=m"}), ElementsAre("--kind=mbus", "--kind=ir"));
  EXPECT_THAT(offered({"claim", "--link", ""}), ElementsAre("auto", "hdlc"));
  EXPECT_THAT(offered({"claim", "--wait", ""}), IsEmpty()) << "a number is no word";
  EXPECT_THAT(offered({"claim", "--nothing", ""}),
              ElementsAre("--help", "--kind", "--link", "--wait"));
}

TEST_F(Completion, AValueThatMayBeLeftOut) {
  EXPECT_THAT(offered({"key", "test", "--next", ""}), ElementsAre("tty"));
  EXPECT_THAT(offered({"key", "test", "--next", "-"}), ElementsAre("--help", "--key"));
  EXPECT_THAT(offered({"key", "test", "--next", "--key", ""}), IsEmpty());
}

TEST_F(Completion, Paths) {
  offered({"key", "test", ""});
  EXPECT_EQ(last.paths, Kind::Paths::files);
  EXPECT_THAT(offered({"key", "test", "--key", "00"}), IsEmpty());
  EXPECT_EQ(last.paths, Kind::Paths::none) << "digits of a key";
  offered({"key", "test", "--key", "@fi"});
  EXPECT_EQ(last.paths, Kind::Paths::files);
  EXPECT_EQ(last.before, "@");
  offered({"key", "test", "--key=@fi"});
  EXPECT_EQ(last.before, "--key=@");
  offered({"key", "remove", "--out=x"});
  EXPECT_EQ(last.paths, Kind::Paths::directories);
  EXPECT_EQ(last.before, "--out=");
}

TEST_F(Completion, PathsWhereThereAreNoWords) {
  kinds.insert_or_assign("key remove NAME",
                         Kind(
                             [](const completion::Typed& typed) {
                               return typed.contains("--out")
                                          ? std::vector<completion::Word>{}
                                          : std::vector<completion::Word>{{"house", ""}};
                             },
                             Kind::Paths::files));
  EXPECT_THAT(offered({"key", "remove", ""}), ElementsAre("house"));
  EXPECT_EQ(last.paths, Kind::Paths::none);
  EXPECT_THAT(offered({"key", "remove", "--out", "x", ""}), IsEmpty());
  EXPECT_EQ(last.paths, Kind::Paths::files);
}

TEST_F(Completion, IsAskedByItselfAlone) {
  const char* alone[] = {"program", "--complete"};
  const char* among[] = {"program", "--complete", "show"};
  EXPECT_TRUE(completion::is_asked(2, alone));
  EXPECT_FALSE(completion::is_asked(3, among));
  EXPECT_FALSE(completion::is_asked(1, alone));
}

}  // namespace
