# SPDX-License-Identifier: Apache-2.0
"""Line settings that are found and remembered, Probe by busctl, and a port that falls silent.

A pseudo terminal has no speed: every setting fits there, and the first frame proves it. Each case
runs on both back ends of the loop (SMARTMETERD_IO names one).
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import LIMIT_S, METERSIM, SMARTMETERCTL, World, stop, telegrams, wait_for
from simulated import Line, ModeCMeter

IO = os.environ.get("SMARTMETERD_IO", "auto")
METER = "181220000009"


class Detection(World):
    def setUp(self):
        super().setUp()
        self.counter = 1000
        self.bus.start()
        self.write_key()

    def start(self, **named):
        self.start_daemon("--io", IO, mqtt=False, **named)
        self.wait_opened()
        wait_for("the adapter on the bus", self.bus.adapter)

    def feed(self):
        self.counter += 1
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", str(self.counter))[0])

    def feed_until(self, what, check):
        """One telegram a second until the check holds."""
        def attempt():
            value = check()
            if value is None or value is False:
                self.feed()
                time.sleep(1)
            return value
        return wait_for(what, attempt)

    def meter(self, *options):
        """A meter that pushes each second, on a pseudo terminal of its own; the path to it."""
        path = self.directory / "meter"
        process = subprocess.Popen([METERSIM, "run", "kaifa-noe", "--link", str(path),
                                    "--interval", "1", "--baud", "115200", *options],
                                   stdout=subprocess.DEVNULL)
        self.addCleanup(stop, process)
        wait_for("the meter", path.is_symlink)
        return path

    def adapter_path(self):
        return next(path for path, interfaces in self.bus.objects().items()
                    if "org.smartmeterd1.Adapter" in interfaces)

    def probe(self, timeout_ms):
        return subprocess.Popen(
            ["busctl", f"--address={self.bus.address}", f"--timeout={LIMIT_S * 2}", "call",
             "org.smartmeterd1", self.adapter_path(), "org.smartmeterd1.Adapter", "Probe",
             "a{sv}", "1", "timeout-ms", "u", str(timeout_ms)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answer(self, process):
        out, error = process.communicate(timeout=LIMIT_S * 2)
        return out if process.returncode == 0 else error

    def test_probe_by_busctl_with_a_meter_that_pushes(self):
        self.start(device=str(self.meter()))
        answer = self.answer(self.probe(LIMIT_S * 1000))
        path = wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.assertEqual(answer.split(" ", 1)[0], "a{sv}", answer)
        self.assertIn('"line-settings" s "2400-8E1"', answer)
        self.assertIn('"protocol" s "mbus"', answer)
        self.assertIn(f'"meter" o "{path}"', answer)
        self.assertEqual(self.bus.adapter_property("LineSource"), "detected")
        self.assertEqual(self.log_text().count(": found 2400-8E1, mbus"), 1)
        again = self.answer(self.probe(LIMIT_S * 1000))
        self.assertEqual(again, answer)
        self.assertEqual(self.log_text().count(": found 2400-8E1, mbus"), 1)

    def test_probe_by_the_command(self):
        self.start(device=str(self.meter()))
        done = subprocess.run([SMARTMETERCTL, "probe", "--bus", self.bus.address, "--timeout",
                               str(LIMIT_S)], capture_output=True, text=True, timeout=LIMIT_S * 2,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("2400-8E1", done.stdout)
        self.assertIn("mbus", done.stdout)

    def test_probe_says_why_there_is_no_answer(self):
        self.start()

        def at_once():
            answers = sorted(self.answer(probe) for probe in [self.probe(2500), self.probe(2500)])
            return answers if "being probed already" in answers[1] else None
        answers = wait_for("two probes at the same time", at_once)
        self.assertIn("no byte arrived in 2.5 s", answers[0])
        probing = self.probe(2000)
        while probing.poll() is None:
            self.pty.send(b"x" * 40)
            time.sleep(0.1)
        self.assertIn("no frame with a right checksum", self.answer(probing))

    def test_a_configured_line_is_not_probed(self):
        self.start(device=f"{self.pty.path},line=2400-8E1")
        self.assertEqual(self.bus.adapter_property("LineSource"), "configured")
        self.assertIn("the line is configured", self.answer(self.probe(1000)))
        self.feed()
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.assertEqual(self.bus.adapter_property("LineSource"), "configured")

    def test_a_reader_asks_a_meter_that_keeps_silent(self):
        meter = ModeCMeter()
        line = Line(self.pty, meter)
        self.addCleanup(line.stop)
        self.start(device=f"{self.pty.path},role=reader")
        self.assertEqual(self.bus.adapter_property("LineSource"), "default")
        wait_for("a sign-on", lambda: meter.signed_on, limit=2 * LIMIT_S)
        wait_for("the meter", lambda: self.bus.meters().get("1EMH0012345678"))
        self.assertEqual(self.bus.adapter_property("LineSource"), "asked")
        self.assertGreaterEqual(meter.signed_on, 2, "by the search, then by the session")

    def test_what_was_proven_outlives_the_service(self):
        self.start()
        self.assertEqual(self.bus.adapter_property("LineSource"), "default")
        self.feed()  # the very first one is read
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.feed_until("the proof",
                        lambda: self.bus.adapter_property("LineSource") == "detected")
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(LIMIT_S), 0)
        self.start()
        self.assertEqual((self.bus.adapter_property("LineSource"),
                          self.bus.adapter_property("LineSettings")), ("remembered", "2400-8E1"))
        self.feed_until("the proof",
                        lambda: self.bus.adapter_property("LineSource") == "detected")

    def test_a_port_that_falls_silent_is_reset_and_reads_on(self):
        self.start()
        for _ in range(4):  # a meter that pushes each second
            self.feed()
            time.sleep(1)
        path = wait_for("the meter", lambda: self.bus.meters().get(METER))
        wait_for("silence", lambda: self.bus.adapter_property("State") == "silent")
        self.assertEqual(self.bus.adapter()["Problem"], "no-bytes")
        self.assertGreaterEqual(self.bus.adapter()["Errors"]["reset"], 1)
        self.assertIn("the port is reset", self.log_text())
        self.feed_until("readings again",
                        lambda: self.bus.adapter_property("State") == "synced")
        self.assertEqual(self.bus.meters(), {METER: path})


if __name__ == "__main__":
    tap.main()
