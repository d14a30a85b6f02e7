#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/addon/build: what it takes, where it writes, and what it never removes. It is run in a copy
of the source, with empty files in place of packages.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402

ROOT = pathlib.Path(os.environ["SOURCE_ROOT"])
VERSION = yaml.safe_load((ROOT / "tools/addon/config.yaml").read_text())["version"]


class Build(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name).resolve()
        # As a clone of it is called.
        self.tree = self.directory / "smartmeterd"
        shutil.copytree(ROOT / "tools/addon", self.tree / "tools/addon", symlinks=True)
        shutil.copy(ROOT / "CHANGELOG.md", self.tree)
        self.packages = self.directory / "packages"
        self.packages.mkdir()
        for architecture in ("amd64", "arm64"):
            (self.packages / f"smartmeterd_{VERSION}_{architecture}.deb").touch()

    def run_build(self, *arguments, cwd=None):
        return subprocess.run([self.tree / "tools/addon/build", *arguments], cwd=cwd or self.tree,
                              capture_output=True, text=True, check=False)

    def build(self, *arguments, cwd=None, packages=None):
        """The folder that it says it made."""
        done = self.run_build("amd64", "--packages", packages or self.packages, *arguments, cwd=cwd)
        self.assertEqual(done.returncode, 0, done.stderr)
        folder = pathlib.Path(done.stdout.removesuffix("\n"))
        self.assertTrue((folder / "smartmeterd_amd64.deb").exists(), folder)
        self.assertEqual(self.left_over(folder.parent), [])
        return folder

    def refused(self, *arguments, status=1, cwd=None, packages=None):
        """Its only word on the matter."""
        before = self.everything()
        done = self.run_build("amd64", "--packages", packages or self.packages, *arguments, cwd=cwd)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertEqual(self.everything(), before)
        return done.stderr

    def everything(self):
        return sorted(self.directory.rglob("*"))

    def left_over(self, directory):
        return [path for path in directory.iterdir() if path.name.startswith(".")]

    def test_default(self):
        self.assertEqual(self.build(cwd=self.directory), self.tree / "build-addon/smartmeterd")

    def test_relative_to_where_the_person_is(self):
        there = self.directory / "there"
        there.mkdir()
        self.assertEqual(self.build("--output", "out", cwd=there, packages="../packages"),
                         there / "out/smartmeterd")

    def test_names_that_begin_with_a_dash(self):
        there = self.directory / "there"
        shutil.copytree(self.packages, there / "-p")
        self.assertEqual(self.build("--output", "-o", cwd=there, packages="-p"),
                         there / "-o/smartmeterd")

    def test_former_folder_is_replaced(self):
        folder = self.build()
        (folder / "smartmeterd_arm64.deb").touch()
        self.assertEqual(self.build(), folder)
        self.assertFalse((folder / "smartmeterd_arm64.deb").exists())

    def test_former_folder_stays_until_the_new_one_is_whole(self):
        folder = self.build()
        (folder / "mark").touch()
        said = self.refused(packages="/nonexistent")
        self.assertIn("tools/addon/build: there is no /nonexistent/smartmeterd_", said)
        self.assertTrue((folder / "mark").exists())

    def test_source_stays(self):
        """It is called what the folder would be."""
        for output in ("..", str(self.directory)):
            with self.subTest(output):
                said = self.refused("--output", output)
                self.assertIn(f"tools/addon/build: {self.tree} is there already and is no folder "
                              "that this has made", said)
        # Not even if it looked like one, or was in one.
        shutil.copy(self.tree / "tools/addon/config.yaml", self.tree)
        self.refused("--output", "..")
        nested = self.tree / "nested"
        shutil.copytree(self.tree / "tools", nested / "tools", symlinks=True)
        shutil.copy(ROOT / "CHANGELOG.md", nested)
        self.tree, outer = nested, self.tree
        self.refused("--output", outer.parent)

    def test_what_others_made_stays(self):
        target = self.directory / "out/smartmeterd"
        made = self.build("--output", self.directory / "made")
        for make in (lambda: target.touch(), lambda: target.mkdir(),
                     lambda: target.symlink_to("nowhere"), lambda: target.symlink_to(made),
                     lambda: shutil.copytree(self.tree / "tools/addon", target, symlinks=True)):
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir()
            make()
            with self.subTest(target=target.lstat()):
                self.assertIn("is left alone", self.refused("--output", target.parent))

    def test_wrong_arguments(self):
        for arguments, said in ((("--output", ""), "--output needs a directory"),
                                (("--output",), "--output needs a directory"),
                                (("--packages", ""), "--packages needs a directory"),
                                (("armhf",), "unknown architecture or option: armhf"),
                                (("--outptu", "x"), "unknown architecture or option: --outptu")):
            with self.subTest(arguments):
                self.assertIn(f"tools/addon/build: {said}\n", self.refused(*arguments, status=2))

    def test_architectures(self):
        folder = self.build("aarch64", "amd64", "aarch64")
        config = yaml.safe_load((folder / "config.yaml").read_text())
        self.assertEqual(config["arch"], ["amd64", "aarch64"])
        self.assertEqual({path.name for path in folder.glob("*.deb")},
                         {"smartmeterd_amd64.deb", "smartmeterd_arm64.deb"})


if __name__ == "__main__":
    tap.main()
