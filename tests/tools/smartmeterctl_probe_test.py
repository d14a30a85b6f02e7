#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl probe: what it shows while it waits, what it finds, and what it says to do.

A service of the test's own answers on the bus, so that every answer comes at will.
"""

import contextlib
import json
import os
import pathlib
import pty
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import LIMIT_S, SMARTMETERCTL, World, stop, telegrams, wait_for  # noqa: E402

FAKE_PROBER = os.environ["FAKE_PROBER"]


class Probe(World):
    def setUp(self):
        super().setUp()
        self.bus.start()

    def answers(self, answer):
        prober = subprocess.Popen([FAKE_PROBER, self.bus.address, answer], stdout=subprocess.PIPE)
        self.addCleanup(prober.stdout.close)
        self.addCleanup(stop, prober)
        self.assertEqual(prober.stdout.readline(), b"ready\n")
        return prober

    def probe(self, *arguments, status, **more):
        done = subprocess.run([SMARTMETERCTL, "probe", *arguments, "--bus", self.bus.address],
                              stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=False,
                              **(more or {"stderr": subprocess.PIPE}))
        self.assertEqual(done.returncode, status, done.stdout + (done.stderr or ""))
        return done

    def test_found(self):
        self.answers("found")
        done = self.probe(status=0)
        self.assertEqual(done.stdout, "/dev/ttyUSB7: 9600-8N1, sml\n")
        self.assertEqual(done.stderr.splitlines(), [
            "Finding the line settings of /dev/ttyUSB7, at most 60 s …",
            "2400-8E1: 12 bytes, 1 frame start, 0 whole frames, 3 line errors; trying",
            "9600-8N1: 400 bytes, 2 frame starts, 1 whole frame, 3 line errors; trying"])
        said = json.loads(self.probe("--json", status=0).stdout)
        self.assertEqual(said, {"adapter": "/dev/ttyUSB7", "line-settings": "9600-8N1",
                                "protocol": "sml", "meter": None, "problem": "none"})

    def test_one_line_on_a_terminal(self):
        self.answers("found")
        terminal, other_end = pty.openpty()
        self.addCleanup(os.close, terminal)
        self.probe(status=0, stderr=other_end)
        os.close(other_end)
        said = ""
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while piece := os.read(terminal, 4096):
                said += piece.decode()
        self.assertEqual(said.count("\n"), 1, said)  # the first line
        self.assertEqual(said.count("\r\033[K") + said.count("\r2400") + said.count("\r9600"), 3)
        self.assertTrue(said.endswith("\r\033[K"), said)

    def test_names_of_the_adapter(self):
        self.answers("found")
        for name in ("/dev/ttyUSB7", "ttyUSB7", "/dev/smartmeter_ir", "smartmeter_ir", "usb-ir"):
            with self.subTest(name):
                self.probe(name, status=0)
        done = self.probe("usb-mbus", status=1)
        self.assertIn('no adapter is called "usb-mbus"; known: /dev/ttyUSB7', done.stderr)

    def test_refused(self):
        own = "org.smartmeterd1.Error."
        for name, words in ((own + "Timeout", "--timeout"), (own + "NoData", "check the plug"),
                            (own + "InProgress", "wait until"),
                            ("org.freedesktop.DBus.Error.NotSupported", "refused within 7000 ms")):
            with self.subTest(name):
                prober = self.answers(name)
                done = self.probe("--timeout", "7", status=1)
                self.assertEqual(done.stdout, "")
                self.assertIn("/dev/ttyUSB7: refused within 7000 ms", done.stderr)
                self.assertIn("(last: 9600-8N1: 400 bytes", done.stderr)
                self.assertIn(words, done.stderr)
                said = json.loads(self.probe("--json", "--timeout", "7", status=1).stdout)
                self.assertEqual((said["error"], said["progress"]["bytes"]),
                                 (name.rpartition(".")[2], 400))
                stop(prober)

    def test_nobody_answers(self):
        self.assertIn("smartmeterd is not running", self.probe(status=1).stderr)

    def test_wrong_usage(self):
        for arguments in (("--timeout", "0"), ("--timeout", "x"), ("a", "b")):
            self.probe(*arguments, status=2)


class ProbeOfTheDaemon(World):
    """smartmeterd itself, on a pty whose line settings are not configured."""

    def start(self, device=None):
        self.bus.start()
        self.start_daemon(device=device or str(self.pty.path), mqtt=False)
        self.wait_opened()
        wait_for("the adapter", self.bus.adapter)

    def begin(self, *arguments):
        """A probe that has begun."""
        process = subprocess.Popen(
            [SMARTMETERCTL, "probe", *arguments, "--bus", self.bus.address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.assertIn("Finding the line settings", process.stderr.readline())
        return process

    def end(self, process, status):
        out, said = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, status, out + said)
        return out, said

    def send_until_it_ends(self, process, *options):
        """Telegrams as a meter pushes them; the search may need more than one."""
        counter = 0
        while process.poll() is None:
            counter += 1
            self.pty.send(telegrams("kaifa-noe", 1, "--counter", str(counter), *options)[0])
            time.sleep(0.3)

    def test_found(self):
        self.write_key()
        self.start()
        process = self.begin()
        self.send_until_it_ends(process)
        out, said = self.end(process, 0)
        adapter = self.bus.adapter()
        self.assertEqual(out, f"{self.pty.path}: {adapter['LineSettings']}, mbus, meter "
                              "181220000009\n", said)
        self.assertEqual(adapter["LineSource"], "detected")
        self.assertRegex(said, r"\d+-\d\w\d: \d+ bytes, ")

    def test_found_without_a_key(self):
        self.start()
        process = self.begin("--json")
        self.send_until_it_ends(process)
        said = json.loads(self.end(process, 0)[0])
        self.assertEqual((said["line-settings"], said["meter"], said["problem"]),
                         (self.bus.adapter_property("LineSettings"), None, "key-missing"))

    def test_no_byte(self):
        self.start()
        _, said = self.end(self.begin("--timeout", "1"), 1)
        self.assertIn(f"{self.pty.path}: no byte arrived in 1 s", said)
        self.assertIn("check the plug", said)

    def test_two_at_once(self):
        self.start()
        first = self.begin("--timeout", "3600")
        wait_for("the first one's wait", lambda: self.second_is_refused(first))

    def second_is_refused(self, first):
        self.assertIsNone(first.poll())
        return "is being probed already" in self.end(self.begin("--timeout", "1"), 1)[1]

    def test_configured_line(self):
        self.start(f"{self.pty.path},line=2400-8E1")
        done = self.refused()
        self.assertIn("the line is configured (2400-8E1)", done)

    def test_network_connection(self):
        self.bus.start()
        self.start_daemon(device="tcp://127.0.0.1:1", mqtt=False)
        wait_for("the adapter", self.bus.adapter)
        self.assertIn("a network connection has no line settings", self.refused())

    def refused(self):
        """Before anything is begun."""
        done = subprocess.run([SMARTMETERCTL, "probe", "--bus", self.bus.address],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn("Finding", done.stderr)
        return done.stderr


if __name__ == "__main__":
    tap.main()
