#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages in a machine that has nothing but Debian, with an adapter plugged in all the
while: installed, upgraded, removed and purged by the real apt, dpkg, udev, systemd and bus.

The cases run in the order in which they are written, in one boot, and build on each other: a class
alone is what can be run.
"""

import hashlib
import os
import pathlib
import sys
import tarfile
import tempfile
import unittest

import world
from world import UNIT

sys.path.append(str(world.ROOT / "tests" / "packages"))
import built  # noqa: E402
import cache  # noqa: E402
import debian_root  # noqa: E402
import tap  # noqa: E402

ON_CI = os.environ.get("CI") == "true"
# Under emulation, on a machine that does other things besides.
APT_LIMIT_S = 900
NOW, FORMER, NEXT = "/usr/src/now", "/usr/src/former", "/usr/src/next"
NEXT_VERSION = "99.0"
CONFIGURATION = "/etc/smartmeterd/smartmeterd.toml"
CLAIMS = "/etc/udev/rules.d/60-smartmeter-local.rules"
EXPORT = "smartmeterd-export.socket"
KEY = "/etc/smartmeterd/keys.d/house.toml"
BROKER = '[broker.home]\nurl = "mqtt://127.0.0.1"\n'

HOUSE = world.Meter("kaifa-noe")  # encrypted
EYE = world.Meter("kamstrup")


def download(directory, root, debs):
    """Makes a repository of what apt would fetch for these packages on a machine with that root."""
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="build-") as scratch:
        state, archive = pathlib.Path(scratch, "apt"), pathlib.Path(scratch, "archive")
        archive.mkdir()
        apt = debian_root.Apt(state)
        with tarfile.open(root) as tar:
            (state / "status").write_bytes(tar.extractfile("./var/lib/dpkg/status").read())
        for deb in apt.download([str(deb) for deb in debs], recommended=True):
            deb.rename(archive / deb.name)
        index = debian_root.run("dpkg-scanpackages", ".", cwd=archive)
        (archive / "Packages").write_text(index)
        archive.rename(directory)


def repository(root):
    """That of our packages' dependencies: Debian's archive as far as it is needed."""
    debs = sorted(built.debs().glob("*.deb"))
    needed = "".join(debian_root.run("dpkg-deb", "--field", str(deb), "Depends", "Recommends")
                     for deb in debs)
    key = hashlib.sha256(f"{root} {needed}".encode() + pathlib.Path(__file__).read_bytes())
    return cache.kept("smartmeterd-guest", key.hexdigest()[:16],
                      lambda directory: download(directory, root, debs))


class Clean(world.Guests):
    """A Debian without anything of the project but packages in files: these, those of a version
    before and of one after, and Debian's archive.
    """

    memory_mib = 1536

    def __init__(self):
        super().__init__()
        self.image, root = world.image.debian()
        tree = self.directory / "files"
        for directory in (NOW, FORMER, NEXT):
            (tree / directory[1:] / "build-packages").mkdir(parents=True)
        debian_root.run("cp", *map(str, built.debs().glob("*.deb")),
                        str(tree / NOW[1:] / "build-packages"))
        built.former(tree / FORMER[1:] / "build-packages")
        built.former(tree / NEXT[1:] / "build-packages", NEXT_VERSION)
        debian_root.run("cp", "-r", str(repository(root)), str(tree / "usr/src/archive"))
        (tree / "etc/apt").mkdir(parents=True)
        (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/usr/src/archive ./\n")
        self.add(tree)


def setUpModule():
    world.Case.guests = Clean()
    unittest.addModuleCleanup(world.Case.guests.close)
    guest = world.Case.guests.boot()
    guest.shell("apt-get update", limit=APT_LIMIT_S)
    for adapter in guest.adapters[:1]:
        adapter.plug()


def load_tests(_loader, _tests, _pattern):
    return world.in_order(globals())


class Packages(world.Adapters):
    """What the cases do with packages. The first adapter stays plugged in."""

    def setUp(self):
        self.house = self.guest.adapters[0]
        self.wait("[ -c /dev/ttyUSB0 ] && udevadm settle")

    def apt(self, commands, directory=NOW):
        """Commands of README, by somebody who says yes to what apt asks."""
        return self.guest.shell(f"cd {directory} && yes | {{\n{commands}\n}}", limit=APT_LIMIT_S)

    def install(self, directory=NOW):
        return self.apt(world.readme_commands("apt install"), directory)

    def remove(self, how="remove"):
        return self.apt(world.readme_inline("apt remove").replace("remove", how))

    def group(self, port="/dev/ttyUSB0"):
        return self.guest.shell(f"stat -c %G {port}").strip()

    def assert_plain(self):
        """The adapter is as on a machine without the project."""
        self.guest.shell("udevadm settle")
        self.assertEqual(self.group(), "dialout")
        self.guest.shell("! ls -d /dev/smartmeter*")
        self.assertNotIn("ID_MM_PORT_IGNORE", self.guest.shell("udevadm info /dev/ttyUSB0"))

    def assert_nothing_enabled(self, but=()):
        units = self.guest.shell("dpkg -L smartmeterd smartmeterctl | "
                                 "sed -n 's,.*/systemd/system/,,p'").split()
        self.assertIn(UNIT, units)
        for unit in set(units).difference(but):
            self.assertIn(self.guest.attempt(f"systemctl is-enabled {unit}")[1].strip(),
                          ("disabled", "static"), unit)

    def assert_purged(self):
        self.assert_plain()
        left = self.guest.shell("find / -xdev -path /usr/src -prune -o -iname '*smartmeter*' "
                                "-print").split()
        self.assertEqual(left, [])
        self.guest.shell("! dpkg-query -W smartmeterd smartmeterctl")
        self.assertNotIn("SMARTMETER", self.guest.shell("udevadm info /dev/ttyUSB0"))
        self.assertEqual(self.guest.shell("systemctl --failed --no-legend").strip(), "")

    def claimed(self):
        """What "smartmeterctl claim" and "key add" wrote, with owners and times."""
        return self.guest.shell(f"stat -c '%n %i %a %U %G %y' {CLAIMS} {KEY}")

    def read(self):
        self.wait_opened()
        return self.read_through(self.house.send, HOUSE)

    def plug_eye(self):
        """A product that is known; the house's adapter is plugged in already."""
        self.plug_chip("kamstrup-eye", "cp210x", "/dev/ttyUSB1")


class Install(Packages):
    """On a machine that has never seen the project."""

    def test_known_products_are_taken_at_once_and_others_left_alone(self):
        self.plug_eye()
        self.assertEqual(self.group("/dev/ttyUSB1"), "dialout")
        self.assert_plain()
        self.install()
        self.assertEqual(self.wait_opened("/dev/smartmeter_ir"), "/dev/ttyUSB1")
        self.assertEqual(self.group("/dev/ttyUSB1"), "smartmeterd")
        self.assertEqual(self.group(), "dialout")
        self.wait("journalctl -b -u smartmeter-unclaimed@ttyUSB0 | "
                  "grep -F 'smartmeterctl claim /dev/ttyUSB0 --kind '")
        self.guest.shell(f"! readlink /proc/{self.process()}/fd/* | grep ttyUSB0")
        self.assertIn("ttyUSB0", self.guest.shell("smartmeterctl list"))
        self.assert_nothing_enabled()
        self.guest.shell(f"echo '{BROKER}' >>{CONFIGURATION} && systemctl reload smartmeterd")
        self.read_through(self.send_chip, EYE)

    def test_claim_key_reading(self):
        self.claim()
        self.assertEqual(self.wait_opened(), "/dev/ttyUSB0")
        self.add_key()
        self.read()
        self.assertEqual(self.guest.shell("systemctl --failed --no-legend").strip(), "")

    def test_removed(self):
        claimed = self.claimed()
        self.remove()
        self.assertNotEqual(self.guest.attempt(f"systemctl cat {UNIT}")[0], 0)
        self.guest.shell("! pgrep smartmeterd")
        self.assert_plain()
        self.guest.shell("! journalctl -b -u systemd-udevd | grep -i 'unknown group'")
        self.assertIn("org.freedesktop.DBus.Error.ServiceUnknown", self.guest.attempt(
            "dbus-send --system --print-reply --dest=org.smartmeterd1 /org/smartmeterd1 "
            "org.freedesktop.DBus.Peer.Ping")[1])
        self.assertEqual(self.claimed(), claimed)
        self.guest.shell(f"grep mqtt: {CONFIGURATION} && [ -e /var/lib/smartmeterd/state.db ]")

    def test_installed_again(self):
        """Claims, keys and configuration are still there."""
        claimed = self.claimed()
        self.install()
        self.read()
        self.assertEqual(self.claimed(), claimed)

    def test_purged(self):
        self.remove("purge")
        self.assert_purged()


class Order(Packages):
    """The files are unpacked before there are user and group: what udev makes of them meanwhile."""

    def test_plugged_in_between_unpacking_and_configuring(self):
        self.guest.shell("userdel smartmeterd; ! getent group smartmeterd")
        self.addCleanup(self.remove, "purge")
        self.guest.shell(f"dpkg --unpack {NOW}/build-packages/*.deb", limit=APT_LIMIT_S)
        self.guest.shell("udevadm control --reload")
        self.plug_eye()
        self.assertEqual(self.group("/dev/ttyUSB1"), "root")  # that is the trap
        self.guest.shell("journalctl -b -u systemd-udevd | grep -i 'unknown group'")
        self.guest.shell("apt-get --yes --fix-broken install", limit=APT_LIMIT_S)
        self.assertEqual(self.wait_opened("/dev/smartmeter_ir"), "/dev/ttyUSB1")
        self.assertEqual(self.group("/dev/ttyUSB1"), "smartmeterd")
        self.assertEqual(self.group(), "dialout")


class Upgrade(Packages):
    """From one version to the next."""

    def test_a_version_before(self):
        self.install(FORMER)
        self.assert_active("inactive")
        self.guest.shell("mkdir -p /etc/smartmeterd/conf.d")
        self.guest.write("/etc/smartmeterd/conf.d/broker.toml", BROKER.encode())
        self.claim()
        self.wait_opened()
        self.add_key()
        self.guest.shell(world.page_commands("daemon/doc/p1-export.md",
                                             f"systemctl enable {EXPORT}"))
        self.read()
        self.assert_exported()

    def assert_exported(self):
        """A new client is told the latest telegram."""
        self.assertEqual(self.guest.shell("head -n 1 </dev/tcp/127.0.0.1/1502").strip(),
                         r"/SMD5\2smartmeterd")

    def test_upgraded_while_it_runs(self):
        """It is started again, as the new one, and knows what it knew; its socket stays open."""
        before, claimed = self.process(), self.claimed()
        octets, _ = HOUSE.next()
        self.house.send(octets)
        path = self.read()
        self.assertIn(built.FORMER, self.guest.shell(f"systemctl cat {UNIT}"))
        self.assertIn(built.FORMER, self.guest.shell(f"cat {CONFIGURATION}"))
        self.install()
        self.wait_opened()
        self.assertNotEqual(self.process(), before)
        self.assertNotIn(built.FORMER, self.guest.shell(f"systemctl cat {UNIT}"))
        self.assertEqual(self.guest.shell(f"systemctl show -P NeedDaemonReload {UNIT}").strip(),
                         "no")
        self.assertNotIn(built.FORMER, self.guest.shell(f"cat {CONFIGURATION}"))
        self.assertEqual(self.claimed(), claimed)
        self.house.send(octets)
        adapter = next(path for path in self.bus.objects() if "/adapter/" in path)
        self.wait(f"busctl get-property org.smartmeterd1 {adapter} org.smartmeterd1.Adapter Errors "
                  "| grep -F '\"replay\" 1'")
        self.assertEqual(self.read(), path)
        self.assert_exported()
        self.assertEqual(self.guest.shell(f"systemctl is-enabled {EXPORT}").strip(), "enabled")
        self.assert_active("active", EXPORT)
        self.assert_nothing_enabled(but=[EXPORT])

    def test_upgraded_while_it_is_stopped(self):
        """Whoever stopped it wants it stopped; whoever edited the configuration keeps theirs."""
        self.guest.shell(f"systemctl stop {UNIT} && echo '# Mine.' >>{CONFIGURATION}")
        self.guest.shell("apt-get -y -o Dpkg::Options::=--force-confdef "
                         "-o Dpkg::Options::=--force-confold install "
                         f"{NEXT}/build-packages/*.deb", limit=APT_LIMIT_S)
        self.assertIn(NEXT_VERSION, self.guest.shell(f"systemctl cat {UNIT}"))
        self.assert_active("inactive")
        self.assertEqual(self.group(), "smartmeterd")
        configuration = self.guest.shell(f"cat {CONFIGURATION}")
        self.assertTrue(configuration.endswith("# Mine.\n"))
        self.assertNotIn(NEXT_VERSION, configuration)
        self.guest.shell(f"systemctl start {UNIT}")
        self.read()

    def test_purged(self):
        self.remove("purge")
        self.assert_purged()


if __name__ == "__main__":
    missing = world.no_guest()
    if missing and not ON_CI:
        print(f"1..0 # SKIP {missing}")
        sys.exit(0)
    tap.main()
