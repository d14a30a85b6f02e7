#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What meson installs, and where."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["SOURCE_ROOT"]
BUILD = os.environ["BUILD_ROOT"]
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

# Path, from the prefix where it does not start with '/'. Units, rules, users and temporary files
# lie where this machine's udev and systemd say; the ends of their paths are the same everywhere.
EXPECTED = (
    "sbin/smartmeterd",
    "bin/smartmeterctl",
    "bin/metersim",
    *(f"share/{place}" for program in ("smartmeterctl", "smartmeterd", "metersim")
      for place in (f"bash-completion/completions/{program}", f"zsh/site-functions/_{program}",
                    f"fish/vendor_completions.d/{program}.fish")),
    "share/dbus-1/interfaces/org.smartmeterd1.xml",
    "share/dbus-1/system.d/org.smartmeterd1.conf",
    "share/dbus-1/system-services/org.smartmeterd1.service",
    "share/doc/smartmeterd/examples/org.smartmeterd1-closed.conf",
    "lib/systemd/catalog/smartmeterd.catalog",
    "share/doc/smartmeterd/README.md",
    "share/doc/smartmeterd/smartmeterd.toml",
    "share/doc/smartmeterd/udev/doc/mbus.md",
    "share/doc/smartmeterd/udev/doc/ir.md",
    "share/doc/smartmeterd/udev/doc/p1.md",
    "share/doc/smartmeterd/60-smartmeter-any.rules",
)
EXPECTED_ENDS = (
    "/systemd/system/smartmeterd.service",
    "/systemd/system/smartmeter-unclaimed@.service",
    "/systemd/system/smartmeterd-export.socket",
    "/systemd/system/smartmeterd-export-received.socket",
    "/rules.d/61-smartmeter.rules",
    "/hwdb.d/61-smartmeter.hwdb",
    "/sysusers.d/smartmeterd.conf",
    "/tmpfiles.d/smartmeterd.conf",
)
MESON = os.environ.get("MESON", "meson")


class Install(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        options = json.loads(subprocess.run(
            [MESON, "introspect", "--buildoptions", BUILD],
            capture_output=True, text=True, check=True).stdout)
        self.prefix = next(o["value"] for o in options if o["name"] == "prefix")
        install = subprocess.run(
            [MESON, "install", "-C", BUILD, "--no-rebuild", "--destdir", self.directory],
            capture_output=True, text=True, check=False)
        self.assertEqual(install.returncode, 0, install.stdout + install.stderr)
        self.installed = sorted(
            os.path.join(directory, name)[len(self.directory):]
            for directory, _, names in os.walk(self.directory) for name in names)

    def read(self, end):
        path = next(path for path in self.installed if path.endswith(end))
        with open(self.directory + path, encoding="utf-8") as text:
            return text.read()

    def test_everything_is_in_its_place(self):
        for path in EXPECTED:
            self.assertIn(os.path.join(self.prefix, path), self.installed)
        for end in EXPECTED_ENDS:
            self.assertEqual(len([p for p in self.installed if p.endswith(end)]), 1, end)

    def test_every_page_is_there(self):
        for name in os.listdir(os.path.join(ROOT, "daemon/doc")):
            self.assertIn(os.path.join(self.prefix, "share/doc/smartmeterd/daemon/doc", name),
                          self.installed)

    def test_every_example_is_there_and_runs_as_it_is(self):
        examples = os.path.join(ROOT, "dbus/examples")
        for name in os.listdir(examples):
            path = os.path.join(self.prefix, "share/doc/smartmeterd/examples", name)
            self.assertIn(path, self.installed)
            is_program = os.access(os.path.join(examples, name), os.X_OK)
            self.assertEqual(os.access(self.directory + path, os.X_OK), is_program, name)

    def test_every_manual_page_is_there(self):
        """Those that were built: not where scdoc is missing."""
        for path in glob.glob(os.path.join(BUILD, "tools", "man", "*.[1-8]")):
            name = os.path.basename(path)
            self.assertIn(os.path.join(self.prefix, "share/man", "man" + name[-1], name),
                          self.installed)

    def test_nothing_in_etc(self):
        self.assertEqual([path for path in self.installed if path.startswith("/etc/")], [])

    def test_no_rule_is_in_use_that_takes_every_adapter(self):
        self.assertEqual([path for path in self.installed if path.endswith("-any.rules")
                          and not path.endswith("/doc/smartmeterd/60-smartmeter-any.rules")], [])

    def test_the_units_start_what_is_installed(self):
        program = os.path.join(self.prefix, "sbin/smartmeterd")
        self.assertIn(f"\nExecStart={program}\n", self.read("/smartmeterd.service"))
        self.assertIn(f"\nExecPaths={program} ", self.read("/smartmeterd.service"))
        program = os.path.join(self.prefix, "bin/smartmeterctl")
        hint = self.read("/smartmeter-unclaimed@.service")
        self.assertIn(f"\nExecStart={program} claim --hint /dev/%i\n", hint)
        self.assertIn(f"\nExecPaths={program} ", hint)
        self.assertIn("SystemdService=smartmeterd.service", self.read("/org.smartmeterd1.service"))

    def test_the_units_name_documents_that_are_there(self):
        for unit in (end for end in EXPECTED_ENDS if "/system/" in end):
            for path in re.findall(r"(?m)^Documentation=file:(.*)$", self.read(unit)):
                self.assertIn(path, self.installed, unit)

    def test_programs_run(self):
        for program in ("sbin/smartmeterd", "bin/smartmeterctl", "bin/metersim"):
            path = self.directory + os.path.join(self.prefix, program)
            run = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
            self.assertEqual(run.returncode, 0, run.stderr)


if __name__ == "__main__":
    tap.main()
