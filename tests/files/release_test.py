#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a release is held to: one version everywhere, a changelog, licences.

The version is that of meson.build. Whatever repeats it is named here and must be equal; whatever
else looks like it is refused.
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["SOURCE_ROOT"])
BUILD = pathlib.Path(os.environ["BUILD_ROOT"])
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("", "files", "integration")]
import harness  # noqa: E402
import tap  # noqa: E402
import tree_test  # noqa: E402

MESON = os.environ.get("MESON", "meson")
# Who repeats the version: what the place looks like.
COPIES = {
    "CHANGELOG.md": r"(?m)^## \[(\d\S*)\] - ",
    "debian/changelog": r"\Asmartmeterd \((\S+)\) unstable; ",
    "tools/addon/config.yaml": r'(?m)^version: "(\S+)"$',
    "tools/container/Containerfile": r'image\.version="(\S+)"',
}


def run(*command, **settings):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                          **settings).stdout


VERSION = json.loads(run(MESON, "introspect", "--projectinfo", str(BUILD)))["version"]


def tracked():
    """The files of the tree that git knows; of a release's tarball, all."""
    if (ROOT / ".git").exists():
        return run("git", "-C", str(ROOT), "ls-files", "--cached", "--others",
                   "--exclude-standard").splitlines()
    return list(tree_test.tree())


class Version(unittest.TestCase):
    def test_the_build_has_the_version_of_the_source(self):
        self.assertIn(f"\n  version: '{VERSION}',\n", (ROOT / "meson.build").read_text())

    def test_the_copies_are_equal(self):
        for path, place in COPIES.items():
            with self.subTest(path):
                found = re.search(place, (ROOT / path).read_text(encoding="utf-8"))
                self.assertIsNotNone(found)
                self.assertEqual(found.group(1), VERSION)

    def test_there_is_no_other_copy(self):
        mention = re.compile(rf"(?<![\w.:-]){re.escape(VERSION)}(?![\w.:-]*\d)")
        found = [path for path in tracked() if (ROOT / path).is_file()
                 and not (ROOT / path).is_symlink()
                 and mention.search((ROOT / path).read_text(encoding="utf-8", errors="replace"))]
        self.assertEqual([path for path in found if path not in COPIES], ["meson.build"])

    def test_the_programs_say_it(self):
        for program in ("daemon/smartmeterd", "tools/smartmeterctl/smartmeterctl",
                        "tools/metersim/metersim"):
            name = program.rpartition("/")[2]
            self.assertEqual(run(str(BUILD / program), "--version"), f"{name} {VERSION}\n")

    def test_the_manual_pages_say_it(self):
        for page in (BUILD / "tools" / "man").glob("*[0-9].scd"):
            with self.subTest(page.name):
                self.assertIn(f' "smartmeterd {VERSION}" ', page.read_text().partition("\n")[0])


class Running(harness.World):
    """The service, as it names itself to others."""

    def test_bus_broker_and_captures_say_the_version(self):
        self.bus.start()
        self.broker.start()
        self.config.write_text(f'[broker.home]\nurl = "{self.broker.url}"\ndiscovery = "device"\n')
        self.write_key()
        self.start_daemon(mqtt=False)
        self.wait_opened()
        subscriber = self.subscriber()
        self.pty.send(harness.telegrams("kaifa-noe", 1)[0])

        def origin():
            return next((json.loads(payload)["o"] for topic, payload in subscriber.latest.items()
                         if topic.startswith("homeassistant/device/")), None)
        self.assertEqual(harness.wait_for("discovery", origin),
                         {"name": "smartmeterd", "sw": VERSION})
        self.assertEqual(self.bus.property("/org/smartmeterd1", "Manager", "Version"), VERSION)
        # Its exit status says that nothing arrived, besides.
        capture = subprocess.run([harness.SMARTMETERCTL, "capture", "--seconds", "1",
                                  "--bus", self.bus.address], capture_output=True, text=True,
                                 check=False, timeout=harness.LIMIT_S)
        self.assertIn(f"\n#smartmeterd {VERSION}\n", capture.stdout)


class Script(unittest.TestCase):
    def test_without_a_repository_there_is_no_release(self):
        """Where git knows of no change because it knows nothing."""
        with tempfile.TemporaryDirectory() as directory:
            copy = pathlib.Path(directory) / "tools" / "release"
            copy.parent.mkdir()
            copy.write_text((ROOT / "tools" / "release").read_text())
            done = subprocess.run(["sh", copy, "--untagged"], capture_output=True, text=True,
                                  check=False, timeout=120,
                                  env=os.environ | {"GIT_CEILING_DIRECTORIES": directory})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("is no git repository", done.stderr)


class Changelog(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    def test_releases_are_dated_and_the_newest_comes_first(self):
        headings = re.findall(r"(?m)^## \[(.+?)\](?: - (.*))?$", self.text)
        if headings[0] == ("Unreleased", ""):
            headings = headings[1:]
        dates = [datetime.date.fromisoformat(date) for _, date in headings]
        self.assertEqual(dates, sorted(dates, reverse=True))
        versions = [tuple(map(int, version.split("."))) for version, _ in headings]
        self.assertEqual(versions, sorted(set(versions), reverse=True))


class Usage(unittest.TestCase):
    def test_wrong_arguments_are_refused_before_anything_is_done(self):
        for command, words in (
                (("release", "--untagged", "--nonsense"), "misplaced argument: --nonsense"),
                (("release", "amd64", "--untagged"), "misplaced argument: --untagged"),
                (("release", "mips"), "misplaced argument: mips"),
                (("cross/package",), "expected an ARCH (arm64, armhf) and a DIR"),
                (("cross/package", "mips", "/tmp"), "expected an ARCH (arm64, armhf) and a DIR"),
                (("cross/package", "arm64", "/nowhere"), "there is no tree /nowhere/smartmeterd"),
                (("sbom", __file__), "is no Debian package")):
            with self.subTest(command):
                done = subprocess.run([ROOT / "tools" / command[0], *command[1:]], text=True,
                                      capture_output=True, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stdout, "")
                self.assertIn(words, done.stderr)
                self.assertNotIn("Traceback", done.stderr)


class Licences(unittest.TestCase):
    def test_reuse_finds_nothing_missing(self):
        lint = subprocess.run(["reuse", "--root", str(ROOT), "lint"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(lint.returncode, 0, lint.stdout + lint.stderr)

    def test_the_licence_is_there_once_for_people_and_once_for_tools(self):
        self.assertEqual((ROOT / "LICENSE").read_text(),
                         (ROOT / "LICENSES" / "Apache-2.0.txt").read_text())

    def test_what_the_table_of_licences_names_is_there(self):
        table = (ROOT / ".reuse" / "dep5").read_text(encoding="utf-8")
        for names in re.findall(r"(?m)^Files: (.*(?:\n .*)*)", table):
            for name in names.split():
                self.assertTrue(list(ROOT.glob(name)), name)


if __name__ == "__main__":
    tap.main()
