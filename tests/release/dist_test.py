#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tarball that meson dist makes of the present tree: its content, twice the same, it builds."""

import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "files")]
os.environ.setdefault("SOURCE_ROOT", str(ROOT))
import tap  # noqa: E402
import tree_test  # noqa: E402

MESON = os.environ.get("MESON", "meson")
DATE = "2026-11-27T08:00:00+0000"
# The daemon is built where Debian's packages are; here, what shows that all sources are there.
OPTIONS = ("--buildtype=plain", "-Dtests=disabled", "-Dbench=disabled", "-Ddaemon=enabled")
TARGETS = ("libmeter/libmeter.a", "tools/metersim/metersim")


def run(*command, cwd, **settings):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, **settings)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def sources():
    """The files of the present tree, also those that are not committed yet."""
    if (ROOT / ".git").exists():
        return sorted(name for name in run("git", "ls-files", "--cached", "--others",
                                           "--exclude-standard", cwd=ROOT).splitlines()
                      if os.path.lexists(ROOT / name))
    return sorted([*tree_test.tree(), *(str(path.relative_to(ROOT)) for path
                                        in (ROOT / tree_test.DATA).rglob("*") if path.is_file())])


class Dist(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(cls.enterClassContext(
            tempfile.TemporaryDirectory(prefix="smartmeterd-dist-")))
        cls.clone = cls.directory / "clone"
        cls.commit()
        cls.tarball = cls.dist("first")

    @classmethod
    def commit(cls):
        """The present tree as the only commit of a repository."""
        cls.clone.mkdir()
        names = "\0".join(sources()).encode()
        pack = subprocess.run(["tar", "-c", "--null", "--files-from=-"], cwd=ROOT, input=names,
                              capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=cls.clone, input=pack, check=True)
        names = {"name": "release", "email": "release@example.org"}
        environment = os.environ | {f"GIT_{who}_{what.upper()}": value for what, value in (
            *names.items(), ("date", DATE)) for who in ("AUTHOR", "COMMITTER")}
        for command in (("init", "-q"), ("add", "--all"), ("commit", "-q", "-m", "release")):
            run("git", *command, cwd=cls.clone, env=environment)

    @classmethod
    def dist(cls, name, **settings):
        """The tarball that a fresh build directory makes."""
        build = cls.directory / name
        run(MESON, "setup", build, *OPTIONS, cwd=cls.clone, **settings)
        run(MESON, "dist", "-C", build, "--no-tests", cwd=cls.clone, **settings)
        tarball, = (build / "meson-dist").glob("*.tar.xz")
        return tarball

    def test_it_holds_what_git_holds(self):
        with tarfile.open(self.tarball) as tar:
            top = self.tarball.name.removesuffix(".tar.xz")
            names = sorted(member.name.removeprefix(top + "/") for member in tar
                           if not member.isdir())
            for name in names:
                if not os.path.islink(ROOT / name):
                    self.assertEqual(tar.extractfile(f"{top}/{name}").read(),
                                     (ROOT / name).read_bytes(), name)
        self.assertEqual(names, run("git", "ls-files", cwd=self.clone).splitlines())
        self.assertEqual(names, sources())

    def test_two_runs_make_the_same_file(self):
        """Also another umask, and another directory at another time."""
        again = self.dist("second", umask=0o077)
        self.assertEqual(hashlib.sha256(again.read_bytes()).hexdigest(),
                         hashlib.sha256(self.tarball.read_bytes()).hexdigest())

    def test_it_builds(self):
        run("tar", "-xf", self.tarball, cwd=self.directory)
        source = self.directory / self.tarball.name.removesuffix(".tar.xz")
        build = self.directory / "build"
        run(MESON, "setup", build, *OPTIONS, cwd=source)
        run("ninja", *TARGETS, cwd=build)
        version = self.tarball.name.removesuffix(".tar.xz").rpartition("-")[2]
        self.assertEqual(run(build / "tools/metersim/metersim", "--version", cwd=source),
                         f"metersim {version}\n")


if __name__ == "__main__":
    tap.main()
