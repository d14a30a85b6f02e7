#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unit, its users, directories and catalog, held against systemd's own tools."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["SOURCE_ROOT"]
UNIT = os.environ["UNIT"]
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

SYSTEMD = os.path.join(ROOT, "systemd")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


class InDirectory(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)


class UnitTests(InDirectory):
    """What holds for every unit; each is a class of its own below."""

    unit = "smartmeterd.service"
    instance = unit  # what a template is verified as
    exposure_max = 15  # in tenths, as systemd-analyze counts

    def setUp(self):
        super().setUp()
        # The program is not installed yet: its place is taken by one that is.
        with open(os.path.join(os.path.dirname(UNIT), self.unit), encoding="utf-8") as unit:
            self.text = unit.read()
        text = re.sub(r"(?m)^(ExecStart|ExecPaths)=/\S*/smartmeter(d|ctl)\b", r"\1=/usr/bin/true",
                      self.text)
        self.assertRegex(text, r"(?m)^ExecStart=/usr/bin/true\b")
        self.copy = os.path.join(self.directory, self.instance)
        with open(self.copy, "w", encoding="utf-8") as copy:
            copy.write(text)

    def test_is_complete(self):
        self.assertNotRegex(self.text, r"@[a-z]+@")

    def test_verify_finds_nothing(self):
        verify = run("systemd-analyze", "verify", "--man=no", self.copy)
        # A key that it does not know is a warning to it, with exit status 0.
        self.assertEqual(verify.stderr.strip(), "")
        self.assertEqual(verify.returncode, 0)

    def test_verify_would_find_something(self):
        with open(self.copy, "a", encoding="utf-8") as copy:
            copy.write("\n[Service]\nProtectEverything=yes\n")
        self.assertIn("ProtectEverything",
                      run("systemd-analyze", "verify", "--man=no", self.copy).stderr)

    def test_exposure(self):
        security = run("systemd-analyze", "security", "--offline=true",
                       f"--threshold={self.exposure_max}", self.copy)
        self.assertEqual(security.returncode, 0, security.stdout[-300:])


class Service(UnitTests):
    def test_the_ring_is_allowed(self):
        groups = run("systemd-analyze", "syscall-filter", "@aio").stdout
        allowed = " ".join(re.findall(r"(?m)^SystemCallFilter=([^~].*)$", self.text)).split()
        for call in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
            self.assertIn(call, groups)
            self.assertIn(call, allowed)
        for call in ("memfd_create", "pipe2"):
            self.assertIn(call, allowed)


class UnclaimedHint(UnitTests):
    unit = "smartmeter-unclaimed@.service"
    instance = "smartmeter-unclaimed@ttyUSB0.service"
    exposure_max = 10

    def test_is_what_udev_asks_for(self):
        with open(os.path.join(ROOT, "udev", "61-smartmeter.rules"), encoding="utf-8") as rules:
            self.assertIn(f'="{self.unit.replace("@", "@$kernel")}"', rules.read())
        self.assertRegex(self.text, r"(?m)^ExecStart=/\S+/smartmeterctl claim --hint /dev/%i$")


class ExportSocket(InDirectory):
    """Loopback only, off until somebody wants it, and the service is told the format."""

    unit, name, port = "smartmeterd-export.socket", "dsmr5", 1502

    def setUp(self):
        super().setUp()
        with open(os.path.join(os.path.dirname(UNIT), self.unit), encoding="utf-8") as unit:
            self.text = unit.read()
        with open(UNIT, encoding="utf-8") as unit:
            service = re.sub(r"(?m)^(ExecStart|ExecPaths)=/\S*/smartmeterd\b",
                             r"\1=/usr/bin/true", unit.read())
        self.copy = os.path.join(self.directory, self.unit)
        for name, text in ((self.unit, self.text), ("smartmeterd.service", service)):
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as copy:
                copy.write(text)

    def test_verify_finds_nothing(self):
        self.assertNotRegex(self.text, r"@[a-z]+@")
        verify = run("systemd-analyze", "verify", "--man=no", self.copy)
        self.assertEqual((verify.returncode, verify.stderr.strip()), (0, ""))

    def test_verify_would_find_something(self):
        with open(self.copy, "a", encoding="utf-8") as copy:
            copy.write("\n[Socket]\nListenEverywhere=yes\n")
        self.assertIn("ListenEverywhere",
                      run("systemd-analyze", "verify", "--man=no", self.copy).stderr)

    def test_listens_on_loopback_alone(self):
        self.assertEqual(re.findall(r"(?m)^ListenStream=(.*)$", self.text),
                         [f"127.0.0.1:{self.port}", f"[::1]:{self.port}"])

    def test_tells_the_service_its_format(self):
        self.assertIn(f"\nFileDescriptorName={self.name}\n", self.text)
        self.assertIn("\nService=smartmeterd.service\n", self.text)

    def test_is_off_by_default(self):
        with open(UNIT, encoding="utf-8") as unit:
            self.assertNotIn(".socket", re.sub(r"dbus\.socket", "", unit.read()))


class ExportReceivedSocket(ExportSocket):
    unit, name, port = "smartmeterd-export-received.socket", "received", 1503


class Users(InDirectory):
    def test_user_group_and_key_directory(self):
        os.mkdir(os.path.join(self.directory, "etc"))
        users = run("systemd-sysusers", f"--root={self.directory}",
                    os.path.join(SYSTEMD, "sysusers.conf"))
        self.assertEqual(users.returncode, 0, users.stderr)
        with open(os.path.join(self.directory, "etc", "group"), encoding="utf-8") as groups:
            group = int(re.search(r"(?m)^smartmeterd:x:(\d+):", groups.read()).group(1))
        with open(os.path.join(self.directory, "etc", "passwd"), encoding="utf-8") as passwd:
            self.assertRegex(passwd.read(),
                             r"(?m)^smartmeterd:x:\d+:\d+:[^:]*:/var/lib/smartmeterd:.*nologin$")
        if os.geteuid() != 0:
            self.skipTest("the kernel lets only root give directories away")
        files = run("systemd-tmpfiles", "--create", f"--root={self.directory}",
                    os.path.join(SYSTEMD, "tmpfiles.conf"))
        self.assertEqual((files.returncode, files.stderr), (0, ""))
        keys = os.stat(os.path.join(self.directory, "etc", "smartmeterd", "keys.d"))
        self.assertEqual(stat.S_IMODE(keys.st_mode), 0o750)
        self.assertEqual((keys.st_uid, keys.st_gid), (0, group))


class Catalog(InDirectory):
    def test_compiles_whole(self):
        source = os.path.join(self.directory, "usr", "lib", "systemd", "catalog")
        os.makedirs(source)
        os.makedirs(os.path.join(self.directory, "var", "lib", "systemd", "catalog"))
        shutil.copy(os.path.join(SYSTEMD, "smartmeterd.catalog"), source)
        update = run("journalctl", f"--root={self.directory}", "--update-catalog")
        self.assertEqual((update.returncode, update.stderr), (0, ""))
        listed = run("journalctl", f"--root={self.directory}", "--list-catalog").stdout
        with open(os.path.join(SYSTEMD, "smartmeterd.catalog"), encoding="utf-8") as text:
            ids = re.findall(r"(?m)^-- ([0-9a-f]{32})$", text.read())
        self.assertGreater(len(ids), 0)
        for message_id in ids:
            self.assertIn(message_id, listed)


del UnitTests  # no unit of its own


if __name__ == "__main__":
    tap.main()
