#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metersim from outside: its lines (pty, TCP, file), its faults, its recordings.

Called with the program metersim.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import tty
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import tap  # noqa: E402

METERSIM = sys.argv.pop(1)
LIMIT_S = 30
START = ["--start", "2026-11-20T12:00:05+01:00"]


def run(*arguments, **options):
    return subprocess.run([METERSIM, *map(str, arguments)], capture_output=True, timeout=LIMIT_S,
                          check=False, **options)


def telegrams(*arguments):
    """The octets of a run, and what each telegram says."""
    done = run("run", "kaifa-noe", "--fast", "--out", "-", "--print-values", *START, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout, [json.loads(line) for line in done.stderr.splitlines()]


class MetersimTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def start(self, *arguments):
        process = subprocess.Popen([METERSIM, *map(str, arguments)], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, LIMIT_S)
        self.addCleanup(process.terminate)
        return process

    def read(self, descriptor, size):
        octets = b""
        while len(octets) < size:
            more = os.read(descriptor, size - len(octets))
            self.assertTrue(more, "the line ended early")
            octets += more
        return octets


class Lines(MetersimTest):
    def test_pty(self):
        expected, _ = telegrams("--count", 3)
        link = self.directory / "meter"
        process = self.start("run", "kaifa-noe", "--fast", "--count", 3, "--link", link, *START)
        self.assertEqual(process.stdout.readline().decode().strip(), str(link))
        reader = os.open(link, os.O_RDONLY | os.O_NOCTTY)
        self.assertEqual(self.read(reader, len(expected)), expected)
        os.close(reader)
        self.assertEqual(process.wait(LIMIT_S), 0)
        self.assertFalse(link.is_symlink(), "the link goes with its pty")

    def test_reader_that_comes_and_goes(self):
        link = self.directory / "meter"
        process = self.start("run", "kaifa-noe", "--interval", 0.05, "--baud", 115200,
                             "--link", link)
        process.stdout.readline()
        for _ in range(3):
            reader = os.open(link, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(reader)
            self.assertIn(b"\x68\xfa\xfa\x68", self.read(reader, 600))
            os.write(reader, b"\x10\x40\x01\x41\x16" * 100)  # what a master would send
            os.close(reader)
        self.assertIsNone(process.poll())

    def test_nobody_reads(self):
        """Far more than a pty holds: the meter goes on, and a late reader gets whole telegrams."""
        link = self.directory / "meter"
        process = self.start("run", "kaifa-noe", "--fast", "--link", link)
        process.stdout.readline()
        time.sleep(3)
        self.assertIsNone(process.poll())
        reader = os.open(link, os.O_RDONLY | os.O_NOCTTY)
        self.addCleanup(os.close, reader)
        self.assertTrue(self.read(reader, 100_000))

    def test_link_never_replaces_a_file(self):
        path = self.directory / "precious"
        path.write_text("kept")
        done = run("run", "kaifa-noe", "--link", path)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(path.read_text(), "kept")

    def test_tcp(self):
        expected, _ = telegrams("--count", 2)
        process = self.start("run", "kaifa-noe", "--fast", "--count", 2, "--tcp-listen", 0, *START)
        where = process.stdout.readline().decode().strip()
        self.assertTrue(where.startswith("tcp://127.0.0.1:"))
        with socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])),
                                      LIMIT_S) as reader:
            octets = b""
            while more := reader.recv(65536):
                octets += more
        self.assertEqual(octets, expected)

    def test_line_timing(self):
        """282 octets of 11 bits take 1.29 s at 2400 Bd: never less."""
        begin = time.monotonic()
        done = run("run", "kaifa-noe", "--count", 1, "--out", "-")
        self.assertEqual(len(done.stdout), 282)
        self.assertGreaterEqual(time.monotonic() - begin, 281 * 11 / 2400)

    def test_stops_on_a_signal(self):
        process = self.start("run", "kaifa-noe", "--link", self.directory / "meter")
        process.stdout.readline()
        process.terminate()
        self.assertEqual(process.wait(LIMIT_S), 0)

    def test_play(self):
        octets, _ = telegrams("--count", 2)
        for name, content in (("raw", octets), ("hex", b"# two\n" + octets.hex(" ").encode())):
            path = self.directory / name
            path.write_bytes(content)
            with self.subTest(name):
                done = run("play", path, "--fast", "--count", 2, "--out", "-")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout, octets * 2)
        (self.directory / "empty").touch()
        self.assertEqual(run("play", self.directory / "empty").returncode, 1)


class Faults(MetersimTest):
    SIZE = 282

    def setUp(self):
        super().setUp()
        self.good, _ = telegrams("--count", 6)

    def telegram(self, octets, number):
        return octets[(number - 1) * self.SIZE:number * self.SIZE]

    def test_flip(self):
        octets, values = telegrams("--count", 6, "--flip", 3)
        self.assertEqual([said.get("fault") for said in values],
                         [None, None, "flip", None, None, "flip"])
        for number in range(1, 7):
            flipped = sum((one ^ other).bit_count() for one, other in
                          zip(self.telegram(octets, number), self.telegram(self.good, number)))
            self.assertEqual(flipped, 1 if number in (3, 6) else 0)

    def test_drop_cut_noise(self):
        octets, _ = telegrams("--count", 6, "--drop", 6)
        self.assertEqual(octets, self.good[:5 * self.SIZE])
        octets, _ = telegrams("--count", 6, "--cut", 6)
        self.assertTrue(self.good.startswith(octets))
        self.assertLess(len(octets), 6 * self.SIZE)
        octets, _ = telegrams("--count", 6, "--noise", 6)
        self.assertTrue(octets.endswith(self.telegram(self.good, 6)))
        self.assertGreater(len(octets), 6 * self.SIZE)

    def test_replay(self):
        octets, values = telegrams("--count", 6, "--replay", 4)
        self.assertEqual(self.telegram(octets, 4), self.telegram(octets, 1))
        self.assertEqual(values[3]["invocation_counter"], values[0]["invocation_counter"])

    def test_wrong_key(self):
        octets, _ = telegrams("--count", 6, "--wrong-key", 6)
        self.assertEqual(octets[:5 * self.SIZE], self.good[:5 * self.SIZE])
        self.assertNotEqual(self.telegram(octets, 6), self.telegram(self.good, 6))


class Commands(MetersimTest):
    def test_every_family_runs_and_has_seeds(self):
        families, asked = run("list").stdout.decode().split("\n\n")
        names = [line.split()[0] for line in families.splitlines()]
        self.assertIn("kaifa-noe", names)
        self.assertEqual(run("seeds", self.directory / "seeds").returncode, 0)
        seeds = sorted(path.name for path in (self.directory / "seeds").iterdir())
        for name in names:
            self.assertIn(f"{name}-clear.bin", seeds)
            self.assertEqual(run("run", name, "--fast", "--count", 1, "--out", "-").returncode, 0)
        self.assertIn("\nmode-c-meter ", asked)
        for line in asked.splitlines()[1:]:
            self.assertEqual(run("run", line.split()[0], "--out", "-").returncode, 1, line)

    def test_wrong_usage(self):
        for arguments in ([], ["run"], ["run", "e450", "--tcp-listen", "1", "--out", "x"],
                          ["run", "e450", "--interval", "0"]):
            self.assertEqual(run(*arguments).returncode, 2, arguments)
        self.assertEqual(run("run", "nix").returncode, 1)
        secret = "0123456789ABCDEF0123456789ABCDEX"
        done = run("run", "kaifa-noe", "--key", secret)
        self.assertEqual(done.returncode, 1)
        self.assertNotIn(secret[:8].encode(), done.stderr)


if __name__ == "__main__":
    tap.main()
