#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: how they are built, what is in them, and what dpkg makes of them."""

import filecmp
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(os.environ["SOURCE_ROOT"])
BUILD = os.environ["BUILD_ROOT"]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "packages")]
import built  # noqa: E402
import debian_root  # noqa: E402
import tap  # noqa: E402

MESON = os.environ.get("MESON", "meson")
NAMES = ("smartmeterd", "smartmeterctl")
CONFIGURATION = "/etc/smartmeterd/smartmeterd.toml"
LOCAL_RULES = "/etc/udev/rules.d/60-smartmeter-local.rules"
DROP_IN = "/etc/systemd/system/smartmeterd.service.d/50-claimed-ports.conf"
# What the packages have besides what meson installs.
ADDED = {CONFIGURATION, "/usr/share/doc/smartmeterd/CHANGELOG.md",
         *(f"/usr/share/doc/{name}/{file}" for name in NAMES
           for file in ("changelog.gz", "copyright"))}


def setUpModule():
    for program in ("dpkg-buildpackage", "lintian"):
        if not shutil.which(program):
            raise debian_root.unavailable(f"no {program}: tools/install-packages packaging")
    built.debs()


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def contents(name):
    """What a package has: path -> (mode as ls writes it, owner)."""
    entries = {}
    for line in output("dpkg-deb", "--contents", built.deb(name)).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        entries[path.removeprefix(".").rstrip("/") or "/"] = (mode, owner)
    return entries


def script(name, kind):
    """A maintainer script."""
    return output("dpkg-deb", "--info", built.deb(name), kind)


def field(name, key):
    return output("dpkg-deb", "--field", built.deb(name), key).strip()


class Tree(unittest.TestCase):
    def scratch(self):
        return pathlib.Path(self.enterContext(
            tempfile.TemporaryDirectory(prefix="smartmeterd-packages-")))

    def tree(self, directory, left_out=()):
        """A copy of the files that packages are made from; without some at the top."""
        with built.source() as tar:
            tar.extractall(directory)
        for name in left_out:
            shutil.rmtree(directory / name)


class Command(Tree):
    """tools/package, with a dpkg-buildpackage that leaves a package without anything in it."""

    BUILD = """#!/bin/sh
        find . >"$SEEN"
        : >../smartmeterd_0.2_$(dpkg --print-architecture).deb"""

    def setUp(self):
        self.directory = self.scratch() / "with a blank"
        self.tree(self.directory, left_out={"tests"})
        self.programs = self.scratch()
        (self.programs / "dpkg-buildpackage").write_text(self.BUILD)
        (self.programs / "dpkg-buildpackage").chmod(0o755)

    def package(self, *arguments):
        """What it said, and the files that the build saw."""
        said = output("tools/package", *arguments, cwd=self.directory, env=os.environ | {
            "PATH": f"{self.programs}:{os.environ['PATH']}", "SEEN": f"{self.programs}/seen"})
        return said, (self.programs / "seen").read_text().splitlines()

    def test_packages_of_this_architecture_give_way(self):
        """Others, and what has another name, stay: "apt install ./*.deb" is to find the newest."""
        here = output("dpkg", "--print-architecture").strip()
        for where in (".", "in [it]", "build-packages"):
            packages = self.directory / where
            packages.mkdir(exist_ok=True)
            for name in (f"smartmeterd_0.1_{here}", f"smartmeterctl_0.1_{here}",
                         "smartmeterd_0.1_riscv64", f"other_0.1_{here}"):
                (packages / f"{name}.deb").touch()
            said, _ = self.package("--output", where)
            self.assertEqual(said, f"{packages.resolve()}/smartmeterd_0.2_{here}.deb\n")
            self.assertEqual(sorted(path.name for path in packages.glob("*.deb")), sorted(
                [f"other_0.1_{here}.deb", f"smartmeterd_0.2_{here}.deb",
                 "smartmeterd_0.1_riscv64.deb"]))

    def test_neither_packages_nor_keys_are_copied(self):
        secrets = self.directory / "tools" / "container" / "secrets"
        secrets.mkdir()
        (secrets / "meter_key").touch(0o400)
        for where in (".", "in [it]", "build-packages"):
            _, seen = self.package("--output", where)
            self.assertIn("./tools/container/Containerfile", seen)
            for name in (".build-", f"{where}/", "secrets/"):
                self.assertEqual([path for path in seen if f"/{name}" in f"{path}/"], [])
            self.assertEqual(list((self.directory / where).glob(".build-*")), [])


class Build(Tree):
    def test_a_second_build_is_identical(self):
        """Elsewhere, by somebody else, in another language and time zone, and without the tests."""
        directory = self.scratch()
        tree = directory / ("a_longer_path_" * 8) / "tree"
        self.tree(tree, left_out={"tests"})
        packages = directory / "packages"
        former = os.umask(0o077)
        try:
            built.build(packages, tree, TZ="Pacific/Chatham", LC_ALL="C", LANG="de_AT.UTF-8",
                        USER="somebody", LOGNAME="somebody", HOME=str(directory),
                        CCACHE_DISABLE="1", DEB_BUILD_OPTIONS="parallel=3")
        finally:
            os.umask(former)
        first = sorted(path.relative_to(built.debs()) for path in built.debs().rglob("*.deb"))
        second = sorted(path.relative_to(packages) for path in packages.rglob("*.deb"))
        self.assertEqual(first, second)
        self.assertEqual(len(first), 2 * len(NAMES), "packages and debug symbols")
        for path in first:
            self.assertTrue(filecmp.cmp(built.debs() / path, packages / path, shallow=False), path)

    def test_lintian_finds_nothing(self):
        directory = self.scratch()
        self.tree(directory / "smartmeterd")
        output("dpkg-source", "--build", "smartmeterd", cwd=directory)
        lintian = subprocess.run(
            ["lintian", "--fail-on", "error,warning", "--allow-root", "--tag-display-limit", "0",
             *directory.glob("*.dsc"), *built.debs().rglob("*.deb")],
            capture_output=True, text=True, check=False)
        self.assertEqual((lintian.returncode, lintian.stdout), (0, ""), lintian.stderr)


class Contents(unittest.TestCase):
    def test_each_file_is_in_one_package(self):
        """What meson installs and what is added here, and nothing else."""
        with tempfile.TemporaryDirectory() as directory:
            output(MESON, "install", "-C", BUILD, "--no-rebuild", "--destdir", directory)
            installed = {os.path.join(where, file).removeprefix(directory)
                         for where, _, files in os.walk(directory) for file in files}
        expected = sorted(ADDED | {re.sub(r"(/man/.*)", r"\1.gz", path) for path in installed})
        packaged = sorted(path for name in NAMES for path, (mode, _) in contents(name).items()
                          if not mode.startswith("d"))
        self.assertEqual(packaged, expected)

    def test_owners_and_modes(self):
        for name in NAMES:
            for path, (mode, owner) in contents(name).items():
                self.assertEqual(owner, "root/root", path)
                self.assertIn(mode, ("drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"), path)

    def test_the_configuration_file_is_shipped_as_one_and_changes_nothing(self):
        self.assertEqual(script("smartmeterd", "conffiles").split(), [CONFIGURATION])
        with open(ROOT / "systemd" / "smartmeterd.toml", "rb") as text:
            self.assertEqual(tomllib.load(text), {})

    def test_documents_are_readable_as_they_are(self):
        """They link to each other, and units name them: none is compressed."""
        for path in contents("smartmeterd"):
            if path.startswith("/usr/share/doc/") and not path.endswith("/changelog.gz"):
                self.assertNotRegex(path, r"\.gz$")

    def test_programs_are_hardened(self):
        for name, path in (("smartmeterd", "usr/sbin/smartmeterd"),
                           ("smartmeterctl", "usr/bin/smartmeterctl"),
                           ("smartmeterctl", "usr/bin/metersim")):
            with tempfile.TemporaryDirectory() as directory:
                output("dpkg-deb", "--extract", built.deb(name), directory)
                dynamic = output("readelf", "--dynamic", "--program-headers", f"{directory}/{path}")
            for mark in ("BIND_NOW", "PIE", "GNU_RELRO"):
                self.assertIn(mark, dynamic, path)
            self.assertNotRegex(dynamic, "R(UN)?PATH", path)


class Scripts(unittest.TestCase):
    def test_users_come_before_the_directories_the_bus_and_the_rules(self):
        text = script("smartmeterd", "postinst")
        order = [text.index(words) for words in
                 ("systemd-sysusers ", "systemd-tmpfiles ", "reload dbus.service",
                  "systemd-hwdb ", "touch -c ", "udevadm control --reload", "udevadm trigger ")]
        self.assertEqual(order, sorted(order), text)

    def test_the_rules_are_made_new_where_they_are(self):
        path = re.search(r"touch -c (\S+)", script("smartmeterd", "postinst")).group(1)
        self.assertIn(path, contents("smartmeterd"))

    def test_units_are_not_enabled_but_restarted_and_stopped(self):
        """debhelper enables unless told otherwise; of what is not enabled it starts nothing."""
        text = script("smartmeterd", "postinst")
        self.assertIn("_dh_action=restart", text)
        self.assertIn("debian-installed 'smartmeterd.service'", text)
        self.assertNotIn("new installations run enable", text)
        self.assertRegex(script("smartmeterd", "prerm"), r"invoke stop .*'smartmeterd\.service'")

    def test_an_upgrade_leaves_sockets_open(self):
        """Systemd refuses one whose service runs; on removal they go before the service."""
        text = script("smartmeterd", "postinst")
        self.assertRegex(text, r"invoke \$_dh_action 'smartmeterd\.service' ")
        self.assertRegex(text, r"invoke start .*'smartmeterd-export\.socket'")
        text = script("smartmeterd", "prerm")
        self.assertLess(text.index("'smartmeterd-export.socket'"),
                        text.index("'smartmeterd.service'"))

    def test_purge_removes_what_claim_writes(self):
        """The names are those of smartmeterctl's sources."""
        for path, source in ((LOCAL_RULES, "local_rules.hpp"), (DROP_IN, "claim_effects.hpp")):
            self.assertIn(f'"{path}"', (ROOT / "tools" / "smartmeterctl" / source).read_text())
            for part in path.rsplit("/", 1):
                self.assertIn(part, script("smartmeterd", "postrm"))


def dependencies():
    """The packages that ours depend on, the first where there are several."""
    return [re.match(r"\s*([a-z0-9.+-]+)", dependency).group(1)
            for name in NAMES for dependency in field(name, "Depends").split(",")]


class Chroot(unittest.TestCase):
    """dpkg on a Debian of its own, on which neither systemd nor udev nor a bus runs."""

    @classmethod
    def setUpClass(cls):
        cls.tar = debian_root.root(dependencies())

    def setUp(self):
        self.chroot = self.enterContext(debian_root.unpacked(self.tar))
        self.former = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-packages-"))
        self.addCleanup(shutil.rmtree, self.former)
        self.former.chmod(0o755)

    def shell(self, command):
        return self.chroot.shell(command, network=False,
                                 binds={built.debs(): "/packages", self.former: "/former"})

    def files(self):
        """What is there, with owner and mode: but not what dpkg writes for itself, nor users."""
        return set(self.shell(
            "find / -xdev ! -type d -o -xdev -type d "
            "| grep -vE '^/(proc|dev|packages|former|var/(lib/dpkg|log|cache)|run)(/|$)' "
            "| grep -vE '^/etc/(passwd|group|shadow|gshadow|\\.pwd\\.lock|subuid|subgid)-?$' "
            "| xargs -d '\\n' stat -c '%n %A %U:%G'").splitlines())

    def install(self, directory="/packages"):
        said = self.shell(f"dpkg --install {directory}/*.deb")
        self.assertNotRegex(said, r"(?i)\berror|fail|warning|not found|cannot")

    def test_installed_removed_and_purged(self):
        self.shell(f"mkdir -p {os.path.dirname(LOCAL_RULES)}")  # of the package udev
        before = self.files()
        self.install()
        self.assertEqual(self.shell("stat -c '%A %U:%G' /etc/smartmeterd/keys.d").strip(),
                         "drwxr-x--- root:smartmeterd")
        self.assertIn("smartmeterd", self.shell("getent passwd smartmeterd"))
        self.assertEqual(self.shell("find /etc/systemd/system -name 'smartmeter*'"), "")
        self.shell("smartmeterd --check && smartmeterctl --version && metersim --version")
        self.shell(f"mkdir -p {os.path.dirname(DROP_IN)} /var/lib/smartmeterd && "
                   f"touch {LOCAL_RULES} {DROP_IN} /var/lib/smartmeterd/state.db "
                   "/etc/smartmeterd/keys.d/house.toml /etc/smartmeterd/broker-password")
        said = self.shell("dpkg --remove smartmeterd smartmeterctl")
        self.assertNotRegex(said, r"(?i)\berror|fail|warning: (?!while removing)")
        kept = self.files()
        for path in (CONFIGURATION, LOCAL_RULES, DROP_IN, "/var/lib/smartmeterd/state.db",
                     "/etc/smartmeterd/keys.d/house.toml", "/etc/smartmeterd/broker-password"):
            self.assertTrue(any(line.startswith(f"{path} ") for line in kept), path)
        said = self.shell("dpkg --purge smartmeterd")
        self.assertNotRegex(said, r"(?i)\berror|fail|warning")
        self.assertEqual(sorted(self.files() ^ before), [])

    def test_what_somebody_has_put_elsewhere_does_not_stop_a_purge(self):
        """A disk of its own for the history, and drop-ins that are kept in another directory."""
        self.install()
        drop_ins = os.path.dirname(DROP_IN)
        self.shell(f"mkdir -p /srv/drop-ins /var/lib/smartmeterd {os.path.dirname(drop_ins)} && "
                   f"touch /srv/drop-ins/own.conf && ln -s /srv/drop-ins {drop_ins} && "
                   "mount -t tmpfs tmpfs /var/lib/smartmeterd && "
                   "touch /var/lib/smartmeterd/state.db && dpkg --purge smartmeterd && "
                   "[ -z \"$(ls /var/lib/smartmeterd)\" ]")
        self.shell("[ -e /srv/drop-ins/own.conf ]")

    def test_an_upgrade_brings_the_new_configuration_file(self):
        built.former(self.former)
        self.install("/former")
        self.assertIn(built.FORMER, self.shell(f"cat {CONFIGURATION}"))
        self.install()
        self.assertNotIn(built.FORMER, self.shell(f"cat {CONFIGURATION}"))

    def test_an_upgrade_keeps_a_configuration_file_that_somebody_has_edited(self):
        built.former(self.former)
        self.install("/former")
        self.shell(f"echo '# mine' >>{CONFIGURATION}")
        self.shell("dpkg --force-confdef --force-confold --install /packages/*.deb")
        self.assertIn("# mine", self.shell(f"cat {CONFIGURATION}"))


if __name__ == "__main__":
    tap.main()
