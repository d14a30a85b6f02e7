#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages: they render, and say what the programs, the settings and the interface have."""

import glob
import os
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

ROOT = os.environ["SOURCE_ROOT"]
BUILD = os.environ["BUILD_ROOT"]
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

COLUMNS = 80
BUILT = os.path.join(BUILD, "tools", "man")
PAGES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(BUILT, "*.[1-8]")))
PROGRAMS = {
    "smartmeterctl.1": "tools/smartmeterctl/smartmeterctl",
    "metersim.1": "tools/metersim/metersim",
    "smartmeterd.8": "daemon/smartmeterd",
}
# Pages of other packages that ours name.
FOREIGN = {"busctl(1)", "journalctl(1)", "systemctl(1)", "systemd.exec(5)", "udev(7)"}
# Options of other programs in examples.
FOREIGN_OPTIONS = {"--catalog", "--unit", "--match", "--timeout"}
OPTION = r"(?<![\w-])--?[a-zA-Z][\w-]*"


def run(*command, **settings):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **settings))


def path_of(page):
    return os.path.join(BUILT, page)


def show(page):
    """(what a reader sees on a terminal of 80 columns, groff's warnings)."""
    shown = run("man", "--warnings=w", "--local-file", path_of(page), MANWIDTH=str(COLUMNS),
                MAN_KEEP_FORMATTING="", MANROFFOPT="", MANPAGER="cat")
    if shown.returncode != 0:
        raise AssertionError(f"{page}: man: {shown.stderr}")
    return shown.stdout, shown.stderr


TEXT = {page: show(page)[0] for page in PAGES}


def sections(page):
    """{heading: its text}, for sections and for the subsections in them."""
    found, current = {}, []
    for line in TEXT[page].splitlines()[1:]:
        heading = re.match(r"( {3})?(\S.*)$", line)
        if heading:
            current = found.setdefault(heading.group(2), [])
        current.append(line)
    return {heading: "\n".join(lines) for heading, lines in found.items()}


def defined(text):
    """The options that stand as terms: at the indentation of paragraphs, with text below."""
    return {option for line in re.findall(r"(?m)^ {7}(-\S.*)$", text)
            for option in re.findall(OPTION, line)}


class Help:
    """What --help says of a program or of one of its verbs."""

    def __init__(self, program, *verb):
        self.verb = " ".join(verb)
        shown = run(os.path.join(BUILD, program), *verb, "--help")
        if shown.returncode != 0:
            raise AssertionError(f"{program} {self.verb} --help: {shown.stderr}")
        own = shown.stdout.split("Examples:")[0]
        self.options = {option for names in re.findall(r"(?m)^  (-\S+)", own)
                        for option in names.split(",")}
        self.values = {name: values.split(",") for name, values in
                       re.findall(r"(?m)^  (?:-\w,)?(--[\w-]+) \S*:\{([^}]*)\}", own)}
        verbs = re.search(r"(?m)^Subcommands:\n((?:  .*\n)+)", own)
        self.verbs = [Help(program, *verb, name)
                      for name in re.findall(r"(?m)^  (\S+)", verbs.group(1))] if verbs else []

    def all(self):
        """This and all that is below it."""
        return [self] + [below for verb in self.verbs for below in verb.all()]

    def leaves(self):
        return [help for help in self.all() if not help.verbs]


HELP = {page: Help(program) for page, program in PROGRAMS.items()}


class Rendering(unittest.TestCase):
    def test_pages_are_there(self):
        for page in (*PROGRAMS, "smartmeterd.toml.5", "org.smartmeterd1.5",
                     "smartmeter-capture.5"):
            self.assertIn(page, PAGES)

    def test_groff_has_no_warning(self):
        for page in PAGES:
            self.assertEqual(show(page)[1], "", page)

    def test_groff_would_have_a_warning(self):
        shown = subprocess.run(["man", "--warnings=w", "--local-file", "-"], text=True,
                               input='.TH A 1\n.SH NAME\na \\- b\n.nosuchmacro\n',
                               capture_output=True, check=False)
        self.assertIn("nosuchmacro", shown.stderr)

    def test_mandoc_has_no_warning(self):
        """Other systems show pages with it. Paragraphs before headings are how scdoc writes."""
        for page in PAGES:
            lint = run("mandoc", "-T", "lint", "-W", "warning", path_of(page))
            said = [line for line in (lint.stdout + lint.stderr).splitlines()
                    if "skipping paragraph macro" not in line]
            self.assertEqual(said, [], page)

    def test_lines_fit_a_terminal(self):
        for page in PAGES:
            self.assertEqual([line for line in TEXT[page].splitlines() if len(line) > COLUMNS], [],
                             page)

    def test_no_markup_is_left(self):
        for page in PAGES:
            self.assertEqual(re.findall(r"(?m)^.*(?:@\w+@|%\w+ \w+$|\\f[BIR]).*$", TEXT[page]), [],
                             page)

    def test_commands_go_on_with_a_backslash(self):
        """In a block of commands, the lines below one that are further in are part of it."""
        for page in PAGES:
            for line, after in zip(TEXT[page].splitlines(), TEXT[page].splitlines()[1:]):
                if re.match(r" {15}\S", after) and re.match(r" {11}[$#] ", line):
                    self.assertTrue(line.endswith("\\"), f"{page}: {line}")

    def test_whatis_finds_them(self):
        for page in PAGES:
            self.assertIn(page.rpartition(".")[0] + " - ", run("lexgrog", path_of(page)).stdout)


class CommandLine(unittest.TestCase):
    """What --help knows is in the page, and nothing else."""

    def lacking(self, missing):
        if missing:
            self.fail("\n".join(["", *missing]))

    def test_every_verb_has_a_section(self):
        self.lacking([f"{page}: no section \"{leaf.verb}\"" for page, help in HELP.items()
                      for leaf in help.leaves() if leaf.verb and leaf.verb not in sections(page)])

    def test_every_option_is_explained(self):
        missing = []
        for page, help in HELP.items():
            parts = sections(page)
            common = defined(parts.get("OPTIONS", ""))
            for leaf in help.leaves():
                own = parts.get(leaf.verb or "OPTIONS", "")
                named = set(re.findall(OPTION, own)) | (set() if leaf.verb else common)
                for option in sorted(leaf.options - {"-h", "--help", "--version"}):
                    if option not in named:
                        missing.append(f"{page}: {option} is not in section \"{leaf.verb}\"")
                    elif option not in defined(own) | common:
                        missing.append(f"{page}: {leaf.verb} {option} is named, not explained")
            for option in ("-h", "--help", "--version"):
                if option not in common:
                    missing.append(f"{page}: {option} is not in OPTIONS")
        self.lacking(missing)

    def test_every_value_is_named(self):
        missing = []
        for page, help in HELP.items():
            parts = sections(page)
            for leaf in help.leaves():
                own = parts.get(leaf.verb, "") + parts.get("OPTIONS", "")
                missing += [f"{page}: {leaf.verb} {option} {value}"
                            for option, values in leaf.values.items() for value in values
                            if not re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", own)]
        self.lacking(missing)

    def test_no_option_is_invented(self):
        wrong = []
        known_anywhere = {option for help in HELP.values() for one in help.all()
                          for option in one.options}
        for page, help in HELP.items():
            for leaf in help.leaves():
                if leaf.verb:
                    wrong += [f"{page}: {leaf.verb} does not know {option}" for option in
                              sorted(defined(sections(page).get(leaf.verb, "")) - leaf.options)]
        for page in PAGES:
            named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", TEXT[page]))
            wrong += [f"{page}: nobody knows {option}"
                      for option in sorted(named - known_anywhere - FOREIGN_OPTIONS)]
        self.lacking(wrong)

    def test_no_verb_is_invented(self):
        """In commands: what is bold, and lines that begin with a prompt."""
        wrong = []
        for page in PAGES:
            with open(path_of(page), encoding="utf-8") as text:
                source = text.read()
            for program in ("smartmeterctl", "metersim"):
                verbs = {one.verb.split(" ")[0] for one in HELP[program + ".1"].all()}
                named = (re.findall(rf"\\fB{program} ([a-z]+)", source) +
                         re.findall(rf"(?m)^ +[$#] (?:sudo )?{program} ([a-z]+)", TEXT[page]))
                wrong += [f"{page}: {program} {verb}" for verb in named if verb not in verbs]
        self.lacking(wrong)


class Settings(unittest.TestCase):
    """smartmeterd.toml(5) and the example that explains every setting."""

    PAGE = "smartmeterd.toml.5"

    def test_every_setting(self):
        with open(os.path.join(ROOT, "systemd/smartmeterd.toml"), encoding="utf-8") as text:
            example = text.read()
        terms = re.findall(r'(?m)^ {7}(\S+) = ', TEXT[self.PAGE])
        settings = set(re.findall(r'(?m)^#?([\w.]+) = ', example))
        self.assertGreater(len(settings), 50)
        self.assertEqual(sorted(settings - set(terms)), [])
        for table in set(re.findall(r"(?m)^#?\[(\w+)", example)):
            self.assertRegex(TEXT[self.PAGE], rf"(?m)^ {{3}}\[{table}\b")

    def test_no_setting_is_invented(self):
        """Each name is a word of the reader of the configuration, or of the keys."""
        source = ""
        for path in ("daemon/config.cpp", "daemon/keys.cpp"):
            with open(os.path.join(ROOT, path), encoding="utf-8") as text:
                source += text.read()
        words = set(re.findall(r'"([\w.]+)"', source))
        for name in re.findall(r"(?m)^ {7}([\w.]+) = ", TEXT[self.PAGE]):
            self.assertTrue(name in words or set(name.split(".")) <= words, name)


class Interface(unittest.TestCase):
    """org.smartmeterd1(5) and the interface."""

    PAGE = "org.smartmeterd1.5"

    def test_every_member_with_its_types(self):
        text = " ".join(TEXT[self.PAGE].split())
        root = ElementTree.parse(os.path.join(ROOT, "dbus/org.smartmeterd1.xml")).getroot()
        missing = []
        for interface in root.findall("interface"):
            if interface.get("name") not in text:
                missing.append(interface.get("name"))
            for member in interface:
                name = member.get("name")
                if member.tag == "property":
                    missing += [] if f"{name} ({member.get('type')})" in text else [name]
                elif member.tag in ("method", "signal"):
                    missing += [] if f"{name}(" in text else [name]
                    missing += [f"{name} {arg.get('name')}" for arg in member.findall("arg")
                                if f"{arg.get('type')} {arg.get('name')}" not in text]
        self.assertEqual(missing, [])

    def test_every_member_is_explained(self):
        """Below each term stands a text."""
        lines = TEXT[self.PAGE].splitlines()
        bare = [line for line, after in zip(lines, lines[1:])
                if re.match(r" {7}[A-Z]\w+ ?\(.*\)", line) and not after.startswith(" " * 11)
                and not re.match(r" {7}\S", after)]
        self.assertEqual(bare, [])


class References(unittest.TestCase):
    def test_they_lead_somewhere(self):
        ours = {re.sub(r"\.(\d)$", r"(\1)", page) for page in PAGES}
        for page in PAGES:
            named = set(re.findall(r"[\w.-]*[a-z]\w*\([1-8]\)", TEXT[page]))
            self.assertEqual(sorted(named - ours - FOREIGN), [], page)

    def test_units_and_catalog_lead_to_pages(self):
        ours = {re.sub(r"\.(\d)$", r"(\1)", page) for page in PAGES}
        named = {}
        for path in glob.glob(os.path.join(ROOT, "systemd", "*")):
            with open(path, encoding="utf-8") as text:
                for page in re.findall(r"(?m)^Documentation[:=] ?man:(\S+)$", text.read()):
                    named.setdefault(page, []).append(path)
        self.assertEqual({page: paths for page, paths in named.items() if page not in ours}, {})
        self.assertIn("smartmeterd(8)", named)

    def test_every_page_is_found_from_another(self):
        for page in PAGES:
            name = re.sub(r"\.(\d)$", r"(\1)", page)
            self.assertTrue([other for other in PAGES if other != page and name in TEXT[other]],
                            page)

    def test_see_also_stands_last(self):
        for page in PAGES:
            headings = re.findall(r"(?m)^[A-Z][A-Z ]+$", TEXT[page])
            self.assertEqual((headings[0], headings[-1]), ("NAME", "SEE ALSO"), page)


if __name__ == "__main__":
    tap.main()
