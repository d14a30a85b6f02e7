#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl capture and replay: from a line through smartmeterd into a file, and back."""

import errno
import json
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
import tty

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import (LIMIT_S, METERSIM, SMARTMETERCTL, TEST_KEY, World, stop,  # noqa: E402
                     telegrams, wait_for)

FAKE_CAPTURE = os.environ["FAKE_CAPTURE"]
METER = "181220000009"
FAULTS = ("--noise", "3", "--flip", "4", "--cut", "5")


def octets_of(text):
    """The received bytes of a capture, by the rules of hex text alone."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return bytes.fromhex("".join(lines))


class Recording(World):
    def ctl(self, *arguments, status=0, text=True):
        done = subprocess.run([SMARTMETERCTL, *map(str, arguments)], capture_output=True,
                              text=text, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def start_capture(self, *arguments, **settings):
        """A capture that smartmeterd has opened."""
        before = self.log_text().count("capture opened")
        capture = subprocess.Popen(
            [SMARTMETERCTL, "capture", "--bus", self.bus.address, *map(str, arguments)],
            stderr=subprocess.PIPE, text=True, **settings)
        self.addCleanup(capture.stderr.close)
        self.addCleanup(stop, capture)
        wait_for("the capture", lambda: self.log_text().count("capture opened") > before or
                 capture.poll() is not None)
        return capture

    def finish(self, capture, status=0, how=signal.SIGINT):
        if how:
            capture.send_signal(how)
        said = capture.communicate(timeout=LIMIT_S)[1]
        self.assertEqual(capture.returncode, status, said)
        return said

    def start(self, device=None):
        self.bus.start()
        self.write_key()
        self.start_daemon(device=device or f"{self.pty.path},link=mbus", mqtt=False)
        self.wait_opened()
        wait_for("the adapter on the bus", self.bus.adapter)

    def wait_received(self, size):
        wait_for(f"{size} bytes", lambda: self.bus.adapter_property("BytesReceived") == size)

    def send(self, octets, seed=1):
        """In pieces of any size, as adapters hand them over; what was sent before is read."""
        dice = random.Random(seed)
        total = self.bus.adapter_property("BytesReceived")
        while octets:
            piece = octets[:dice.randint(1, 400)]
            octets = octets[len(piece):]
            self.pty.send(piece)
            total += len(piece)
            time.sleep(0.001)
        self.wait_received(total)

    def record(self, octets):
        """A file with a capture of these bytes."""
        file = self.directory / "meter.capture"
        capture = self.start_capture("-o", file)
        self.send(octets)
        self.finish(capture)
        return file


class RoundTrip(Recording):
    def test_from_the_line_to_a_file_and_back(self):
        octets, values = telegrams("kaifa-noe", 12, *FAULTS)
        good = [one["readings"] for one in values if one.get("fault", "") in ("", "noise")]
        self.start()
        begin_us = time.time_ns() // 1000
        file = self.record(octets)
        end_us = time.time_ns() // 1000
        accepted = self.bus.adapter_property("TelegramsReceived")
        shown = json.loads(self.ctl("show", "--bus", self.bus.address, "--json").stdout)["readings"]
        text = file.read_text()
        with self.subTest("the file"):
            self.assertEqual(octets_of(text), octets)
            self.assertTrue(text.startswith("#smartmeter-capture 1\n#smartmeterd "), text[:80])
            self.assertTrue(text.endswith("\n#end\n"))
            self.assertIn("\n#line 2400-8E1\n", text)
            self.assertIn("\n#rejected bad-checksum ", text)
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        with self.subTest("into the decoder"):
            first = self.ctl("replay", "--key", TEST_KEY, file)
            second = self.ctl("replay", "--key", TEST_KEY, file)
            self.assertEqual((first.stdout, first.stderr), (second.stdout, second.stderr))
            read = [json.loads(line) for line in first.stdout.splitlines()]
            self.assertEqual(len(read), accepted)
            self.assertEqual(len(read), len(good))
            for one, said in zip(read, good):
                self.assertLessEqual(said.items(), one["readings"].items())
            times = [one["received"] for one in read]
            self.assertEqual(times, sorted(times))
            for received in times:
                self.assertRegex(received, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
            stamp = re.search(r"(?m)^#start (\S+)Z$", text).group(1)
            self.assertLessEqual(stamp[:19], times[0][:19])
            self.assertLess(begin_us, end_us)
        with self.subTest("without times, with the same readings"):
            decoded = [json.loads(line)["readings"] for line in
                       self.ctl("decode", "--key", TEST_KEY, file).stdout.splitlines()]
            self.assertEqual(decoded, [one["readings"] for one in read])
        with self.subTest("metersim plays it"):
            out = self.directory / "played"
            subprocess.run([METERSIM, "play", str(file), "--fast", "--count", "1", "--out",
                            str(out)], check=True, timeout=LIMIT_S)
            self.assertEqual(out.read_bytes(), octets)
        for speed in ("max", "20"):
            with self.subTest(f"into another smartmeterd, speed {speed}"):
                self.replay_into_a_fresh_daemon(file, speed, len(octets), accepted, shown)

    def replay_into_a_fresh_daemon(self, file, speed, size, accepted, shown):
        stop(self.daemon)
        shutil.rmtree(self.directory / "state")  # which remembers the meter's counters
        (self.directory / "state").mkdir()
        line = self.directory / "replayed"
        replay = subprocess.Popen(
            [SMARTMETERCTL, "replay", "--pty", "--link", str(line), "--speed", speed, str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(replay.stdout.close)
        self.addCleanup(replay.stderr.close)
        self.addCleanup(stop, replay)
        self.assertEqual(replay.stdout.readline(), f"{line}\n")
        self.start_daemon(device=f"{line},link=mbus", mqtt=False)
        said = replay.communicate(timeout=LIMIT_S)[1]
        self.assertEqual(replay.returncode, 0, said)
        self.assertIn(f"{size} bytes sent", said)
        self.assertFalse(line.is_symlink())
        # The line has hung up; what came over it is counted.
        wait_for("every byte", lambda: self.bus.adapter_property("BytesReceived") == size)
        wait_for("every telegram",
                 lambda: self.bus.adapter_property("TelegramsReceived") == accepted)
        again = json.loads(self.ctl("show", "--bus", self.bus.address, "--json").stdout)
        self.assertEqual(again["readings"], shown)


class Capture(Recording):
    def test_a_loose_cable_and_the_end_of_smartmeterd(self):
        octets, _ = telegrams("kaifa-noe", 2)
        half = len(octets) // 2
        self.start()
        file = self.directory / "loose"
        capture = self.start_capture("-o", file)
        self.send(octets[:half])
        self.pty.unplug()
        wait_for("the end of the line", lambda: "#closed" in file.read_text())
        self.pty.plug()
        wait_for("the line", lambda: "#opened" in file.read_text())
        self.send(octets[half:])
        self.assertIsNone(capture.poll())
        stop(self.daemon)
        said = self.finish(capture, status=1, how=None)
        self.assertIn("smartmeterd has stopped", said)
        text = file.read_text()
        self.assertEqual(octets_of(text), octets)
        self.assertTrue(text.endswith("#end\n"))
        directives = re.findall(r"(?m)^#(closed|opened|device|line)", text)
        self.assertEqual(directives, ["device", "line", "closed", "opened", "device", "line"])

    def test_a_crash_of_smartmeterd(self):
        octets, _ = telegrams("kaifa-noe", 1)
        self.start()
        for redacted in ((), ("--redact",)):
            with self.subTest(redacted):
                file = self.directory / f"cut{len(redacted)}"
                capture = self.start_capture("-o", file, *redacted)
                self.send(octets[:100])
                stop(self.daemon, signal.SIGKILL)
                said = self.finish(capture, status=1, how=None)
                self.assertIn("smartmeterd has stopped", said)
                self.assertEqual(octets_of(file.read_text()), octets[:100])
                self.assertNotIn("#end", file.read_text())
                self.start_daemon(device=f"{self.pty.path},link=mbus", mqtt=False)
                self.wait_opened()
                wait_for("the adapter on the bus", self.bus.adapter)

    def test_limits(self):
        octets, _ = telegrams("kaifa-noe", 3)
        self.start()
        with self.subTest("telegrams"):
            file = self.directory / "telegrams"
            capture = self.start_capture("-o", file, "--telegrams", 2)
            self.send(octets)
            self.finish(capture, how=None)
            self.assertIn("#end\n", file.read_text())
        with self.subTest("bytes"):
            for raw in ((), ("--raw",)):
                file = self.directory / f"bytes{len(raw)}"
                capture = self.start_capture("-o", file, "--bytes", 100, *raw)
                self.send(octets)
                said = self.finish(capture, how=None)
                got = file.read_bytes()
                self.assertEqual(got if raw else octets_of(got.decode()), octets[:100])
                self.assertIn("100 bytes", said)
        with self.subTest("seconds, and nothing comes"):
            done = self.ctl("capture", "--bus", self.bus.address, "--seconds", "0.2", status=1)
            self.assertIn("no byte arrived", done.stderr)
            self.assertTrue(done.stdout.startswith("#smartmeter-capture 1\n"))
            self.assertTrue(done.stdout.endswith("#end\n"))

    def test_where_it_is_written(self):
        self.start()
        file = self.directory / "kept"
        file.write_text("precious")
        file.chmod(0o644)
        done = self.ctl("capture", "--bus", self.bus.address, "-o", file, status=1)
        self.assertIn("--force", done.stderr)
        self.assertEqual(file.read_text(), "precious")
        self.finish(self.start_capture("-o", file, "--force"))
        self.assertTrue(file.read_text().startswith("#smartmeter-capture"))
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        # full(4): a write to it fails with ENOSPC.
        done = self.ctl("capture", "--bus", self.bus.address, "-o", "/dev/full", "--force",
                        status=1)
        self.assertIn("/dev/full", done.stderr)
        self.assertIn(os.strerror(28), done.stderr)
        done = self.ctl("capture", "--bus", self.bus.address, "-o", "/nix/file", status=1)
        self.assertIn("/nix/file", done.stderr)
        self.assertIn("expected a FILE", self.ctl("capture", "-o", "", status=2).stderr)

    def test_devices_and_pipes(self):
        self.start()
        self.finish(self.start_capture("-o", "/dev/null"))
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        done = self.ctl("capture", "--bus", self.bus.address, "-o", pipe, status=1)
        self.assertIn("nobody reads this pipe", done.stderr)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.finish(self.start_capture("-o", pipe))
        self.assertTrue(os.read(reader, 1 << 16).endswith(b"#end\n"))

    def test_what_a_file_held_before_outlives_a_full_disk(self):
        self.start()
        file = self.directory / "appended"
        file.write_text("precious\n" * 300)
        before = file.read_bytes()

        def fill_disk():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 500, len(before) + 500))
        with open(file, "ab") as end:
            capture = self.start_capture("--raw", stdout=end, preexec_fn=fill_disk,
                                         restore_signals=False)
        self.pty.send(random.Random(3).randbytes(2000))
        said = self.finish(capture, status=1, how=None)
        self.assertIn(os.strerror(errno.EFBIG), said)
        self.assertEqual(file.read_bytes()[:len(before)], before)
        self.assertGreaterEqual(file.stat().st_size, len(before))

    def test_a_slow_reader_is_told_what_it_lost(self):
        self.start()
        capture = self.start_capture(stdout=subprocess.PIPE)  # and nobody reads it
        self.addCleanup(capture.stdout.close)
        noise = random.Random(7).randbytes(900_000)
        self.send(noise)
        text = []
        os.set_blocking(capture.stdout.fileno(), False)

        def drained(wanted):
            chunk = os.read(capture.stdout.fileno(), 1 << 20) if select_read(capture) else b""
            text.append(chunk.decode())
            return wanted in "".join(text)
        # The next byte finds room, once there is some.
        sent = len(noise)
        deadline = time.monotonic() + LIMIT_S
        while not drained("#lost ") and time.monotonic() < deadline:
            self.pty.send(b"\x00")
            sent += 1
            time.sleep(0.02)
        self.wait_received(sent)
        capture.send_signal(signal.SIGINT)
        wait_for("the end", lambda: drained("#end\n"))
        said = capture.communicate(timeout=LIMIT_S)[1]
        self.assertEqual(capture.returncode, 0, said)
        whole = "".join(text)
        lost = sum(map(int, re.findall(r"(?m)^#lost (\d+)$", whole)))
        self.assertGreater(lost, 0)
        self.assertEqual(len(octets_of(whole)) + lost, sent)
        self.assertIn(f"{lost} bytes are missing", said)

    def test_ctrl_c_while_nobody_reads(self):
        self.start()
        capture = self.start_capture(stdout=subprocess.PIPE)
        self.addCleanup(capture.stdout.close)
        self.send(random.Random(7).randbytes(60_000))
        said = self.finish_unread(capture)
        self.assertIn("standard output takes nothing any more", said)

    def test_seconds_end_while_nobody_reads(self):
        self.start()
        capture = self.start_capture("--seconds", "1", stdout=subprocess.PIPE)
        self.addCleanup(capture.stdout.close)
        self.pty.send(random.Random(7).randbytes(60_000))
        self.assertIn("takes nothing any more", self.finish_unread(capture, how=None))

    def finish_unread(self, capture, how=signal.SIGINT):
        if how:
            capture.send_signal(how)
        self.assertEqual(capture.wait(LIMIT_S), 1)
        return capture.stderr.read()

    def test_readers_come_and_go(self):
        octets, _ = telegrams("kaifa-noe", 1)
        self.start()
        captures = [self.start_capture("-o", self.directory / f"capture{i}") for i in range(4)]
        done = self.ctl("capture", "--bus", self.bus.address, "-o", self.directory / "fifth",
                        status=1)
        self.assertIn("as many captures", done.stderr)
        self.assertFalse((self.directory / "fifth").exists())
        captures[0].kill()
        captures[0].wait()
        self.send(octets)
        fifth = self.start_capture("-o", self.directory / "fifth")
        self.assertIsNone(fifth.poll())
        for i, capture in enumerate(captures[1:], 1):
            self.finish(capture)
            self.assertEqual(octets_of((self.directory / f"capture{i}").read_text()), octets)
        self.finish(fifth, how=signal.SIGTERM)

    def test_why_no_telegram_is_read(self):
        octets, _ = telegrams("kaifa-noe", 4)
        self.bus.start()  # and no key is given
        self.start_daemon(device=f"{self.pty.path},link=mbus", mqtt=False)
        self.wait_opened()
        wait_for("the adapter on the bus", self.bus.adapter)
        capture = self.start_capture("-o", self.directory / "encrypted", "--telegrams", "1")
        self.send(octets)
        wait_for("the reason", lambda: self.bus.adapter_property("Problem") == "key-missing")
        said = self.finish(capture)
        self.assertIn("no telegram was read of it (encrypted, and no key for this meter)", said)
        self.assertIn("\n#rejected key-missing ", (self.directory / "encrypted").read_text())

    def test_what_cannot_be_recorded(self):
        self.bus.start()
        done = self.ctl("capture", "--bus", self.bus.address, status=1)
        self.assertIn("smartmeterd is not running", done.stderr)
        for arguments in (("--seconds", "0"), ("--seconds", "x"), ("a", "b"),
                          ("--telegrams", "-1")):
            self.ctl("capture", *arguments, status=2)


class WhatSmartmeterdGives(Recording):
    """Another smartmeterd: fake_capture, whose pipe is a file."""

    def give(self, text):
        given = self.directory / "given"
        given.write_bytes(text)
        self.bus.start()
        service = subprocess.Popen([FAKE_CAPTURE, self.bus.address, str(given)],
                                   stdout=subprocess.PIPE)
        self.addCleanup(service.stdout.close)
        self.addCleanup(stop, service)
        self.assertEqual(service.stdout.readline(), b"ready\n")

    def capture(self, *arguments, status):
        return self.ctl("capture", "--bus", self.bus.address, *arguments, status=status)

    def test_an_older_one(self):
        self.give(b"\x68\xfa\xfa\x68")
        self.assertIn("older than this program", self.capture(status=1).stderr)
        file = self.directory / "file"
        self.assertIn("older", self.capture("-o", file, status=1).stderr)
        self.assertFalse(file.exists())

    def test_a_newer_one(self):
        self.give(b"#smartmeter-capture 2\n#at +0\n00\n")
        said = self.capture(status=1).stderr
        self.assertIn("version 2", said)
        self.assertIn("newer release", said)
        self.assertNotIn("older", said)

    def test_what_is_wrong_further_down(self):
        self.give(b"#smartmeter-capture 1\n#at +0\n00\nzz\n")
        said = self.capture(status=1).stderr
        self.assertIn("cannot be read: line 4, column 1: 'z' is not a hex digit", said)
        self.assertNotIn("older", said)

    def test_more_than_can_be_redacted(self):
        line = b"# " + b"x" * 60_000 + b"\n"
        self.give(b"#smartmeter-capture 1\n00\n" + line * (4 + (64 << 20) // len(line)) +
                  b"#at +1\n00\n")
        file = self.directory / "redacted"
        said = self.capture("--redact", "-o", file, status=0).stderr
        self.assertIn("ended at 64 MiB of text", said)
        self.assertTrue(file.read_text().endswith("x\n#end\n"))


def select_read(process):
    return bool(select.select([process.stdout], [], [], 0.05)[0])


class Redacted(Recording):
    def test_while_it_is_recorded(self):
        octets, _ = telegrams("kaifa-noe", 3)
        self.start()
        file = self.directory / "redacted"
        capture = self.start_capture("--redact", "-o", file)
        self.send(octets)
        self.assertEqual(file.read_text(), "")  # nothing before all of it is known
        said = self.finish(capture)
        self.assertIn("3 encrypted telegrams left as received", said)
        text = file.read_text()
        self.assertTrue(text.startswith("#smartmeter-capture 1\n#redacted "), text[:80])
        self.assertIn("\n#redacted left 3 encrypted telegrams\n", text)
        self.assertEqual(octets_of(text), octets)
        read = self.ctl("replay", "--key", TEST_KEY, file).stdout.splitlines()
        self.assertEqual(len(read), 3)

    def test_a_recording(self):
        for family in ("dsmr-5", "sml-dzg", "aidon"):
            with self.subTest(family):
                self.redact(family)

    def redact(self, family):
        octets, values = telegrams(family, 3)
        recording, file = self.directory / f"{family}.bin", self.directory / family
        recording.write_bytes(octets)
        self.ctl("capture", "--redact", recording, "-o", file)
        said = self.ctl("capture", "--redact", recording, "-o", file, status=1).stderr
        self.assertIn("is there already", said)
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        read = [json.loads(line) for line in self.ctl("replay", file).stdout.splitlines()]
        self.assertEqual(len(read), len(values))
        for one, said in zip(read, values):
            self.assertLessEqual(said["readings"].items(), one["readings"].items())
        # Short lists of Aidon name no meter.
        ids = {one["meter"] for one in values} - {None, ""}
        pseudonyms = {one["meter"] for one in read} - {None}
        self.assertEqual(len(pseudonyms), 1)
        self.assertEqual(ids & pseudonyms, set())
        for meter in ids:
            self.assertNotIn(meter.encode(), octets_of(file.read_text()))

    def test_what_cannot_be_redacted(self):
        file = self.directory / "glow.json"
        file.write_text('{"electricitymeter":{"timestamp":"2026-11-27T03:20:00Z"}}\n')
        for arguments, status, words in (
                (("--redact", file), 1, "messages of a gateway"),
                (("--redact", "--raw", file), 2, "leave out --raw"),
                (("--redact", file, "--seconds", 1), 2, "are for an adapter")):
            with self.subTest(words):
                self.assertIn(words, self.ctl("capture", *arguments, status=status).stderr)


class Replay(Recording):
    def capture_file(self, *lines, version=1):
        file = self.directory / "written"
        file.write_text("\n".join([f"#smartmeter-capture {version}", *lines, ""]))
        return file

    def read_line(self, *arguments, slowly=False):
        """What a program that reads the pseudo terminal gets, and how long it takes it from
        before it opens it, when nothing was sent yet: (bytes, stderr, seconds)."""
        replay = subprocess.Popen(
            [SMARTMETERCTL, "replay", "--pty", *map(str, arguments)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(replay.stdout.close)
        self.addCleanup(replay.stderr.close)
        self.addCleanup(stop, replay)
        path = replay.stdout.readline().strip()
        begin = time.monotonic()
        line = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(line)
        got = b""
        while True:
            try:
                piece = os.read(line, 512 if slowly else 65536)
            except OSError:  # EIO: the other end has gone
                break
            if not piece:
                break
            got += piece
            if slowly and len(got) < 50_000:
                time.sleep(0.005)
        os.close(line)
        said = replay.communicate(timeout=LIMIT_S)[1]
        self.assertEqual(replay.returncode, 0, said)
        return got, said, time.monotonic() - begin

    def test_a_slow_reader_gets_every_byte(self):
        noise = random.Random(3).randbytes(300_000)
        raw = self.directory / "raw"
        raw.write_bytes(noise)
        got, said, _ = self.read_line("--speed", "max", raw, slowly=True)
        self.assertEqual(got, noise)
        self.assertIn("300000 bytes sent", said)

    def test_times_are_kept(self):
        file = self.capture_file("#start 2026-11-27T03:20:00Z", "#at +5.0", "6868", "#at +6.2",
                                 "16", "#lost 7")
        got, said, seconds = self.read_line(file)
        self.assertEqual(got, b"\x68\x68\x16")
        self.assertGreaterEqual(seconds, 1.2, "no sooner than it was")
        self.assertIn("7 bytes are missing", said)
        self.assertEqual(self.read_line("--speed", "1000000", file)[0], b"\x68\x68\x16")

    def test_hex_text_without_times(self):
        file = self.directory / "hex"
        file.write_text("# by hand\n68 fa fa 68\n")
        self.assertEqual(self.read_line("--baud", "115200", file)[0], b"\x68\xfa\xfa\x68")

    def test_signals_while_nobody_reads(self):
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(how):
                self.end_while_nobody_reads(how)

    def test_whose_link_it_is(self):
        link = self.directory / "line"
        for target, is_ours in (("/dev/null", False), (self.directory, False),
                                ("/nix/gone", True), (os.ttyname(os.openpty()[1]), True)):
            link.symlink_to(target)
            if is_ours:
                self.end_while_nobody_reads(signal.SIGINT)
                continue
            done = self.ctl("replay", "--pty", "--link", link, self.capture_file("00"), status=1)
            self.assertIn(f"leads to {target}", done.stderr)
            self.assertEqual(os.readlink(link), str(target))
            link.unlink()

    def end_while_nobody_reads(self, how):
        link = self.directory / "line"
        replay = subprocess.Popen(
            [SMARTMETERCTL, "replay", "--pty", "--loop", "--link", str(link),
             str(self.capture_file("00"))], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(replay.stdout.close)
        self.addCleanup(replay.stderr.close)
        self.addCleanup(stop, replay)
        replay.stdout.readline()
        self.assertTrue(link.is_symlink())
        replay.send_signal(how)
        self.assertEqual(replay.wait(LIMIT_S), 0)
        self.assertFalse(link.is_symlink())

    def test_a_pause_ends_a_telegram(self):
        """As in smartmeterd: halves with a pause between them are no telegram."""
        octets, _ = telegrams("dsmr-5", 1)
        half = len(octets) // 2
        for pause, status in ((1, 0), (5, 1)):
            file = self.capture_file("#start 2026-11-27T03:20:00Z", "#at +0", octets[:half].hex(),
                                     f"#at +{pause}", octets[half:].hex())
            done = self.ctl("replay", file, status=status)
            if status == 0:
                received = json.loads(done.stdout)["received"]
                self.assertTrue(received.startswith("2026-11-27T03:20:01"), received)

    def test_what_cannot_be_replayed(self):
        done = self.ctl("replay", self.capture_file("00", version=2), status=1)
        self.assertIn("version 2", done.stderr)
        self.assertIn("newer release", done.stderr)
        done = self.ctl("replay", self.capture_file("#at soon"), status=1)
        self.assertIn("written: line 2, column 5:", done.stderr)
        done = self.ctl("replay", self.capture_file("#end"), status=1)
        self.assertIn("no received byte", done.stderr)
        done = self.ctl("replay", "/nix/file", status=1)
        self.assertIn("/nix/file", done.stderr)
        for wrong in (("--loop", "x"), ("--speed", "2", "x"), ("--pty", "--speed", "0", "x"),
                      ("--pty", "--speed", "fast", "x"), ("--link", "/tmp/x", "x"),
                      ("--pty", "--loop", "-"), ()):
            self.ctl("replay", *wrong, status=2)


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    tap.main()
