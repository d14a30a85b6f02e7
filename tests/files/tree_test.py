#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the source tree: who may include whom, and what every file has."""

import os
import re
import shutil
import subprocess
import sys
import unittest

ROOT = os.environ["SOURCE_ROOT"]
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

SKIPPED_DIRECTORIES = {".git", "__pycache__", "subprojects"}
DATA = "tests/fuzz/corpus/"
# Files whose format has no comments, or that others wrote: .reuse/dep5 speaks for them.
NO_LICENCE_LINE = re.compile(
    r"^LICENSE$|^LICENSES/|^\.reuse/|^debian/(changelog|copyright|source/format)$|"
    r"\.png$")
LONG_LINES = re.compile(
    r"^LICENSES?(/|$)|^debian/changelog$|\.(md|json|hex|bin|xml|rules|txt)$")
LINE_MAX = 100


def tree():
    """Paths of the sources from the root, without what .gitignore and meson call builds."""
    for directory, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in SKIPPED_DIRECTORIES and
                    not (directory == ROOT and name.startswith("build")) and
                    not os.path.exists(os.path.join(directory, name, "meson-private"))]
        for name in files:
            path = os.path.relpath(os.path.join(directory, name), ROOT)
            if not path.endswith(".pyc") and not path.startswith(DATA):
                yield path


def lines(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as text:
        return text.read().splitlines()


def start(path):
    with open(os.path.join(ROOT, path), "rb") as octets:
        return octets.read(20)


def includes(path):
    """(quoted file or <file>, is quoted) of each #include."""
    for line in lines(path):
        found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if found:
            yield found.group(2), found.group(1) == '"'


def standard_headers():
    """The names of the C++ library's headers: what the compiler has without a dot in its name."""
    search = subprocess.run(["g++", "-std=c++2b", "-xc++", "-E", "-v", "/dev/null"],
                            capture_output=True, text=True, check=True).stderr
    directory = re.search(r"(?m)^ (\S*/c\+\+/\d+)$", search).group(1)
    return {name for name in os.listdir(directory) if "." not in name}


SOURCES = sorted(path for path in tree() if path.endswith((".cpp", ".hpp")))
STANDARD = standard_headers()
# libmeter's folders that know base and nothing of each other; DLMS sits on the cipher besides.
FAMILIES = ("link", "dlms", "p1", "sml", "mbus", "iec62056")
# The daemon's folders that know nothing of each other.
OUTPUTS = ("io", "bus", "mqtt", "history", "export")
# The seams that every part of the daemon may use.
SEAMS = ("daemon/io/loop.hpp", "daemon/io/mirrored_ring.hpp")


class Layers(unittest.TestCase):
    def refuse(self, where, is_wrong):
        """No source below `where` may include a header for which is_wrong(header, quoted)."""
        wrong = [f"{path} includes {header}"
                 for path in SOURCES if path.startswith(where)
                 for header, quoted in includes(path) if is_wrong(header, quoted)]
        self.assertEqual(wrong, [])

    def test_includes_are_from_the_roots(self):
        self.refuse("", lambda header, quoted: quoted and header.startswith("."))

    def test_base_uses_the_standard_library_alone(self):
        self.refuse("libmeter/meter/base/",
                    lambda header, quoted: not header.startswith("meter/base/") if quoted
                    else header not in STANDARD)

    def test_libmeter_uses_the_standard_library_and_openssl_alone(self):
        self.refuse("libmeter/meter/",
                    lambda header, quoted: not header.startswith("meter/") if quoted
                    else header not in STANDARD and not header.startswith("openssl/"))

    def test_json_sits_on_libmeter_and_keeps_simdjson_to_itself(self):
        """simdjson is in no header: who uses meter_json compiles without it."""
        self.refuse("libmeter/meter_json/",
                    lambda header, quoted: not header.startswith(("meter/", "meter_json/"))
                    if quoted else header not in STANDARD and header != "simdjson.h")
        for path in SOURCES:
            if path.startswith("libmeter/") and path != "libmeter/meter_json/document.cpp":
                self.assertNotIn("simdjson.h", [header for header, _ in includes(path)], path)

    def test_openssl_is_for_dlms_alone(self):
        for path in SOURCES:
            if path.startswith("libmeter/") and not path.startswith("libmeter/meter/dlms/"):
                self.assertFalse([h for h, _ in includes(path) if h.startswith("openssl/")], path)

    def test_families_do_not_know_each_other(self):
        for family in FAMILIES:
            others = tuple(f"meter/{other}/" for other in FAMILIES if other != family)
            self.refuse(f"libmeter/meter/{family}/", lambda header, _: header.startswith(others))

    def test_outputs_do_not_know_each_other(self):
        for output in OUTPUTS:
            others = tuple(f"daemon/{other}/" for other in OUTPUTS if other != output)
            self.refuse(f"daemon/{output}/",
                        lambda header, _: header.startswith(others) and header not in SEAMS)

    def test_tools_do_not_use_the_daemon(self):
        self.refuse("tools/", lambda header, _: header.startswith("daemon/"))

    def test_nobody_includes_a_source(self):
        self.refuse("", lambda header, _: header.endswith(".cpp"))


class Files(unittest.TestCase):
    def test_licence_line(self):
        wanted = [path for path in tree() if not NO_LICENCE_LINE.search(path)]
        # First line, or the second one after "#!" or "<?xml", or the third one after a DOCTYPE.
        missing = [path for path in wanted
                   if not any("SPDX-License-Identifier: Apache-2.0" in line
                              for line in lines(path)[:4])]
        self.assertEqual(missing, [])

    def test_header_comment(self):
        """Every source says in its second line what it is for."""
        missing = [path for path in SOURCES if not lines(path)[1].startswith("// ")]
        self.assertEqual(missing, [])

    def test_line_length(self):
        long = [f"{path}:{number}" for path in tree() if not LONG_LINES.search(path)
                for number, line in enumerate(lines(path), 1) if len(line) > LINE_MAX]
        self.assertEqual(long, [])

    def test_no_tabs_and_no_blanks_at_the_end(self):
        wrong = [f"{path}:{number}" for path in SOURCES
                 for number, line in enumerate(lines(path), 1)
                 if "\t" in line or line != line.rstrip()]
        self.assertEqual(wrong, [])

    def test_namespaces(self):
        """No header says "using namespace" for those who include it."""
        wrong = [path for path in SOURCES if path.endswith(".hpp")
                 and any(re.match(r"using namespace", line) for line in lines(path))]
        self.assertEqual(wrong, [])


def prose(path):
    """The text of a Markdown file without its code, in which brackets mean something else."""
    text = re.sub(r"(?ms)^```.*?^```", "", "\n".join(lines(path)))
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    """What the headings of a Markdown file can be linked by, as GitHub names them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"(?m)^#+ (.+?)\s*$", "\n".join(lines(path)))}


def stated_problems():
    """The words that the property Problem can have."""
    interface = "\n".join(lines("dbus/org.smartmeterd1.xml"))
    return re.findall(r'"([\w-]+)"', re.search(r"(?s)Problem: Why (.*?)-->", interface).group(1))


class Problems(unittest.TestCase):
    """A new word of the property Problem is asked for where smartmeterctl makes something of it."""

    @staticmethod
    def table(path, name):
        """The first words of the rows of a table in a source."""
        source = "\n".join(lines(path))
        return re.findall(r'\{"([\w-]+)"', re.search(rf"(?s)\b{name} = \{{\{{(.*?)\}}\}};",
                                                    source).group(1))

    def test_each_has_words_and_advice(self):
        self.assertEqual(sorted(self.table("tools/smartmeterctl/text.cpp", "problems")),
                         sorted(stated_problems()))

    def test_doctor_knows_where_each_stops_the_telegrams(self):
        self.assertEqual(
            sorted(["none", *self.table("tools/smartmeterctl/doctor_judge.cpp", "reached_with")]),
            sorted(stated_problems()))

    def test_the_test_of_doctor_has_them_all(self):
        self.assertEqual(
            sorted(self.table("tests/tools/smartmeterctl_doctor_judge_test.cpp", "problems")),
            sorted(stated_problems()))


class Scripts(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "no shellcheck")
    def test_shellcheck(self):
        scripts = [path for path in tree() if re.match(rb"#!/bin/(ba)?sh\b", start(path))]
        self.assertIn("debian/smartmeterd.postinst", scripts)
        done = subprocess.run(["shellcheck", *scripts], cwd=ROOT, capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.stdout + done.stderr, "")


class Documents(unittest.TestCase):
    def test_links_lead_somewhere(self):
        """Every relative link names a file of the tree, and a heading in it where it names one."""
        files = set(tree())
        lost = []
        for path in sorted(name for name in files if name.endswith(".md")):
            for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
                if re.match(r"\w+:", link):
                    continue
                name, _, anchor = link.partition("#")
                target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name \
                    else path
                if target not in files or anchor and anchor not in anchors(target):
                    lost.append(f"{path}: {link}")
        self.assertEqual(lost, [])

    def test_verbs(self):
        """README.md and the interface pages name verbs that smartmeterctl has."""
        has = {verb for path in SOURCES if path.startswith("tools/smartmeterctl/")
               for verb in re.findall(r'add_subcommand\("(\w+)"', "\n".join(lines(path)))}
        for path in tree():
            if path == "README.md" or path.startswith("udev/doc/"):
                named = re.findall(r"smartmeterctl ([a-z]+)", "\n".join(lines(path)))
                self.assertEqual(set(named) - has, set(), path)

    def test_interface_pages_name_what_there_is(self):
        """The kinds, links and problems in udev/doc/ are those of the rules, D-Bus and `list`."""
        rules = "\n".join(lines("udev/61-smartmeter.rules"))
        kinds = re.search(r'ENV\{SMARTMETER_KIND\}!="([^"]+)", GOTO', rules).group(1).split("|")
        problems = stated_problems()
        sentences = "\n".join(lines("tools/smartmeterctl/text.cpp"))
        self.assertEqual(sorted(os.listdir(os.path.join(ROOT, "udev/doc"))),
                         sorted(f"{kind}.md" for kind in kinds))
        for kind in kinds:
            page = "\n".join(lines(f"udev/doc/{kind}.md"))
            self.assertEqual(set(re.findall(r"--kind (\w+)", page)), {kind})
            self.assertEqual(set(re.findall(r"/dev/smartmeter_(\w+)", page)), {kind})
            table = page[page.index("| what is reported"):page.index("## Sources")]
            reported = dict(re.findall(r"(?m)^\| `([\w-]+)`: ([^|]*?)(?:, or [^|,]*)? \|", table))
            for name, words in reported.items():
                self.assertIn(name, problems, kind)
                self.assertIn(f'{{"{name}", "{words}', sentences, kind)
            for name in ("no-bytes", "break", "no-frame", "bad-checksum", "key-missing",
                         "key-wrong", "authentication-key-wrong"):
                self.assertIn(name, reported, kind)


if __name__ == "__main__":
    tap.main()
