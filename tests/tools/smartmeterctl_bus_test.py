#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl list, show and watch against a running smartmeterd and a simulated meter."""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import (BUS_CONFIG, LIMIT_S, METERSIM, SMARTMETERCTL, World,  # noqa: E402
                     stop, wait_for)

METER = "181220000009"


class OnTheBus(World):
    def ctl(self, *arguments, bus=None):
        return subprocess.run([SMARTMETERCTL, *arguments, "--bus", bus or self.bus.address],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def start(self):
        """Bus, daemon and a simulated meter; the values that it sends are in `values`."""
        self.bus.start()
        self.write_key()
        line, values = self.directory / "meter", self.directory / "values"
        with values.open("w") as stream:
            self.meter = subprocess.Popen(
                [METERSIM, "run", "kaifa-noe", "--link", str(line), "--interval", "0.5",
                 "--baud", "115200", "--print-values"], stdout=stream)
        self.addCleanup(stop, self.meter)
        wait_for("the simulated meter", line.exists)
        self.start_daemon(device=f"{line},link=mbus", mqtt=False)
        wait_for("the meter on the bus", lambda: METER in self.bus.meters())
        self.values = values

    def sent(self):
        """The readings of every telegram so far."""
        return [json.loads(line)["readings"] for line in self.values.read_text().splitlines()
                if line.startswith("{") and line.endswith("}}")]

    def test_list_show_watch(self):
        self.start()
        with self.subTest("list"):
            done = self.ctl("list")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(METER, done.stdout)
            self.assertIn("synced", done.stdout)
            self.assertNotIn("\033", done.stdout)
            listed = json.loads(self.ctl("list", "--json").stdout)
            self.assertEqual([meter["Id"] for meter in listed["meters"]], [METER])
            self.assertEqual(listed["adapters"][0]["Problem"], "none")
            self.assertEqual(listed["meters"][0]["Adapter"], listed["adapters"][0]["path"])
        with self.subTest("show"):
            done = self.ctl("show")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"energy_import +[0-9.]+ kWh")
            self.assertRegex(done.stdout, r"voltage_l1 +[0-9.]+ V")
            shown = json.loads(self.ctl("show", METER, "--json").stdout)
            self.assertEqual(shown["meter"], METER)
            self.assertIs(shown["authenticated"], False)
            units = {register["obis"]: register.get("unit") for register in shown["registers"]}
            self.assertEqual(units["1-0:1.8.0"], "Wh")
        with self.subTest("watch"):
            done = self.ctl("watch", "--json", "--count", "3")
            self.assertEqual(done.returncode, 0, done.stderr)
            seen = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual(len(seen), 3)
            sequence = seen[0]["sequence"]
            self.assertEqual([one["sequence"] for one in seen],
                             [sequence, sequence + 1, sequence + 2])
            said = self.sent()
            for one in seen:
                self.assertEqual(one["meter"], METER)
                one["readings"].pop("power_net")
                numbers = {name: value for name, value in one["readings"].items()
                           if not isinstance(value, str)}
                self.assertIn(numbers, said)
            line = self.ctl("watch", METER, "--count", "1").stdout
            self.assertRegex(line, r"^\d\d:\d\d:\d\d  181220000009  .*power_import \d+ W")
        with self.subTest("an unknown meter"):
            for verb in ("show", "watch"):
                done = self.ctl(verb, "nix")
                self.assertEqual(done.returncode, 1)
                self.assertIn(METER, done.stderr)

    def test_no_meter_yet(self):
        self.bus.start()
        self.start_daemon(device=str(self.pty.path), mqtt=False)
        wait_for("the daemon on the bus", self.bus.adapter)
        done = self.ctl("show")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no meter yet", done.stderr)
        self.assertEqual(self.ctl("list").returncode, 0)

    def test_access_denied(self):
        """What a policy forbids says who may."""
        denied = '<policy context="mandatory"><deny send_interface="{}"/></policy></busconfig>'
        for interface, verb in (("org.freedesktop.DBus.ObjectManager", "list"),
                                ("org.freedesktop.DBus.ObjectManager", "show"),
                                ("org.freedesktop.DBus.ObjectManager", "watch"),
                                ("org.smartmeterd1.Adapter", "probe")):
            with self.subTest(verb):
                self.bus.config.write_text(BUS_CONFIG.format(path=self.bus.path).replace(
                    "</busconfig>", denied.format(interface)))
                self.bus.start()
                self.start_daemon(device=f"{self.pty.path},link=mbus", mqtt=False)
                wait_for("the daemon", lambda: self.bus.property("/org/smartmeterd1", "Manager",
                                                                 "Version"))
                done = self.ctl(verb)
                self.assertEqual(done.returncode, 1)
                self.assertIn("sudo usermod -aG smartmeterd $USER", done.stderr)
                self.assertEqual(done.stdout, "")
                stop(self.daemon)
                self.bus.stop()

    def test_no_verb(self):
        done = subprocess.run([SMARTMETERCTL], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("smartmeterctl list", done.stderr)  # how to begin
        for verb in re.findall(r"^  ([a-z]+)  ", done.stderr, re.MULTILINE):
            helped = subprocess.run([SMARTMETERCTL, verb, "--help"], capture_output=True,
                                    text=True, check=True).stdout
            self.assertRegex(helped, r"Exit status: 0 ")

    def test_wrong_usage_says_what_is_right(self):
        for arguments, words in ((["bogus"], 'no verb "bogus"'),
                                 (["watch", "--count", "-1"], "--count"),
                                 (["list", "--bus", ""], "--bus")):
            with self.subTest(arguments):
                done = subprocess.run([SMARTMETERCTL, *arguments], capture_output=True, text=True,
                                      timeout=LIMIT_S, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(words, done.stderr)

    def test_output_that_cannot_be_written(self):
        """A full disk, and a standard output that is closed."""
        self.start()
        for verb in (["--help"], ["list", "--help"], ["list"], ["show"], ["show", "--stats"],
                     ["watch"], ["watch", "--json", "--count", "1"], ["doctor", "--wait", "0"]):
            bus = [] if "--help" in verb else ["--bus", self.bus.address]
            for redirection in (">/dev/full", ">&-"):
                with self.subTest(verb=verb, redirection=redirection):
                    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh",
                                           SMARTMETERCTL, *verb, *bus], stderr=subprocess.PIPE,
                                          text=True, timeout=LIMIT_S, check=False)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertRegex(done.stderr, "No space left on device|Bad file descriptor")

    def test_daemon_not_running(self):
        self.bus.start()
        for verb in ("list", "show", "watch", "probe"):
            done = self.ctl(verb)
            self.assertEqual(done.returncode, 1)
            self.assertIn("smartmeterd is not running", done.stderr)
            self.assertIn("start it", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_no_bus(self):
        done = self.ctl("list", bus="unix:path=/nix/bus")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nix/bus", done.stderr)

    def test_watch_outlives_the_daemon(self):
        self.start()
        watch = subprocess.Popen(
            [SMARTMETERCTL, "watch", "--json", "--bus", self.bus.address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watch.stderr.close)
        self.addCleanup(watch.stdout.close)
        self.addCleanup(stop, watch)
        self.assertEqual(json.loads(watch.stdout.readline())["meter"], METER)
        stop(self.daemon)
        self.assertIn("stopped", watch.stderr.readline())
        self.start_daemon(device=f"{self.directory / 'meter'},link=mbus", mqtt=False)
        self.assertIn("back", watch.stderr.readline())
        self.assertEqual(json.loads(watch.stdout.readline())["meter"], METER)

    def test_wrong_usage(self):
        for arguments in (["nix"], ["show", "a", "b"], ["watch", "--count", "x"], []):
            done = subprocess.run([SMARTMETERCTL, *arguments], capture_output=True, check=False)
            self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    tap.main()
