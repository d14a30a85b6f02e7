#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl key: what is taken, what is refused and why, and that no output holds a key.

The keys are those of the DLMS Green Book's examples. Files are written below a scratch root; the
real daemon reads them.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import (LIMIT_S, NO_BUS, OTHER_KEY, SMARTMETERCTL, SMARTMETERD,  # noqa: E402
                     TEST_AUTHENTICATION_KEY, TEST_KEY, World, stop, telegrams, wait_for)

# First 8 hex digits of the SHA-256 of the octets, by sha256sum.
FINGERPRINT = "be45cb26"


class KeyWorld(World):
    def setUp(self):
        super().setUp()
        self.root = self.directory / "root"
        self.files = self.root / "etc" / "smartmeterd" / "keys.d"

    def ctl(self, *arguments, key="", bus=NO_BUS, status=None):
        on_bus = ["--bus", bus] if arguments[0] != "list" else []
        done = subprocess.run(
            [SMARTMETERCTL, "key", *arguments, "--root", str(self.root), *on_bus], input=key,
            capture_output=True, text=True, timeout=LIMIT_S, check=False)
        said = re.sub(r"[^0-9a-f]", "", (done.stdout + done.stderr).lower())
        for secret in (TEST_KEY, TEST_AUTHENTICATION_KEY, OTHER_KEY):
            self.assertNotIn(secret.lower(), said)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    @staticmethod
    def as_another_user():
        """What makes a command run without root's rights."""
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

    def add(self, key, *arguments, name="house"):
        return self.ctl("add", name, *arguments, key=key, status=0)

    def text(self, name="house"):
        return (self.files / f"{name}.toml").read_text()

    def capture(self, family, *options, count=2):
        octets, _ = telegrams(family, count, *options)
        path = self.directory / "capture.bin"
        path.write_bytes(octets)
        return str(path)


class Keys(KeyWorld):
    def test_as_operators_print_them(self):
        blanks = " ".join(TEST_KEY[i:i + 4] for i in range(0, 32, 4))
        dashes = "-".join(TEST_KEY[i:i + 2] for i in range(0, 32, 2)).lower()
        other = TEST_AUTHENTICATION_KEY
        for text, authentication in (
                (TEST_KEY, False), (blanks, False), (dashes, False),
                (f"GUEK: {blanks}", False), (f"EK {TEST_KEY}\r\n", False),
                (f"GPK60={TEST_KEY}\nGPK61={other}\n", True),
                (f"gak: {other.lower()}\nguek: {dashes}\n", True),
                (f"EK {TEST_KEY} AK {other}", True),
                (f"GPK 60 {blanks}; GPK 61 {other}", True),
                (f"Global Unicast Encryption Key:\n  {blanks}\nAuthentication Key:\n  {other}\n",
                 True),
                (f"{blanks}\n{other}\n", True),
                (f"{TEST_KEY[:16]}\n{TEST_KEY[16:]}\n", False)):
            with self.subTest(text.replace(TEST_KEY, "KEY")):
                done = self.add(text)
                self.assertIn(FINGERPRINT, done.stdout)
                self.assertIn(f'encryption = "{TEST_KEY}"', self.text())
                self.assertEqual(f'authentication = "{other}"' in self.text(), authentication)
                (self.files / "house.toml").unlink()

    def test_what_is_wrong_is_said(self):
        for text, words in (
                (TEST_KEY[:-1], "32 hex digits (64 for AES-256), this one has 31"),
                ("O" + TEST_KEY[1:], "the letter O at position 1 is probably the digit 0"),
                ("GUEK: 0l" + TEST_KEY[2:], "the letter l at position 2 is probably the digit 1"),
                (TEST_KEY[:4] + "I" + TEST_KEY[5:], "the letter I at position 5"),
                (TEST_KEY[:-1] + "z", "position 32 is not a hex digit"),
                (f"EK {TEST_KEY} AK {TEST_AUTHENTICATION_KEY[:30]}",
                 "authentication key: a key has 32 hex digits"),
                (f"GAK {TEST_AUTHENTICATION_KEY}", "the encryption key (GUEK, EK, GPK60)"),
                (f"EK {TEST_KEY} EK {OTHER_KEY}", "two encryption keys"),
                ("0" * 32, "all zeros"), ("", "there is no key"), ("x" * 5000, "longer than any")):
            with self.subTest(words):
                done = self.ctl("add", "house", key=text, status=1)
                self.assertIn(words, done.stderr)
                self.assertFalse((self.files / "house.toml").exists())

    def test_a_key_on_the_command_line_is_refused(self):
        for arguments in ((TEST_KEY,), ("house", "--meter", TEST_KEY),
                          ("house", "--label", TEST_KEY)):
            done = self.ctl("add", *arguments, status=2)
            self.assertIn("others can see it", done.stderr)
        self.assertFalse(self.files.exists())

    def test_a_key_on_the_command_line_is_not_repeated(self):
        blanks = " ".join(TEST_KEY[i:i + 4] for i in range(0, 32, 4))
        dashes = "-".join(TEST_KEY[i:i + 2] for i in range(0, 32, 2))
        for arguments, status in (
                (("add", "house", TEST_KEY), 2), (("add", "house", *blanks.split()), 2),
                (("add", "house", f"--key={TEST_KEY}"), 2), (("add", "house", f"GUEK {blanks}"), 2),
                (("remove", "house", dashes), 2), (("test", TEST_KEY), 1), (("test", dashes), 1),
                (("test", "--ask", blanks), 1)):
            with self.subTest(arguments=len(arguments), verb=arguments[0]):
                done = self.ctl(*arguments, status=status)
                self.assertIn("must not be typed on the command line", done.stderr)
                self.assertNotIn(TEST_KEY[8:12], done.stderr)
        self.assertNotIn("must not", self.ctl("add", "house", "more", status=2).stderr)

    def test_wrong_names(self):
        for arguments in (("../x",), ("a/b",), ("",), ("house", "--label", "two\nlines"),
                          ("house", "--meter", "x" * 65), ("house", "--label", b"\xff"),
                          ("house", "--label", "\u009b31m"), ("house", "--label", "a\u202eb"),
                          ("house", "--label", "\u200b"), ("house", "--meter", "\ufeff1"),
                          ("house", "--label", "\U000e0041"), ("house", "--label", "\u2028")):
            self.ctl("add", *arguments, key=TEST_KEY, status=2)
        self.assertFalse(self.files.exists())

    def test_file_is_not_for_others(self):
        self.add(TEST_KEY)
        self.assertEqual(stat.S_IMODE((self.files / "house.toml").stat().st_mode), 0o640)
        self.assertEqual([path.name for path in self.files.iterdir()], ["house.toml"])

    def test_directory_is_made_for_the_service_alone(self):
        before = os.umask(0)
        try:
            self.add(TEST_KEY)
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.files.stat().st_mode), 0o750)
        self.assertEqual(stat.S_IMODE(self.files.parent.stat().st_mode), 0o755)
        (self.files / "house.toml").unlink()
        self.files.chmod(0o777)
        before = os.umask(0o077)
        try:
            self.add(TEST_KEY)
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.files.stat().st_mode), 0o750)
        self.assertEqual(stat.S_IMODE((self.files / "house.toml").stat().st_mode), 0o640)

    def test_file_that_others_can_read_is_told_and_mended(self):
        self.add(TEST_KEY)
        (self.files / "house.toml").chmod(0o644)
        done = self.ctl("list", status=0)
        self.assertIn("smartmeterd refuses this file: other users may read or change it",
                      done.stderr)
        self.add(OTHER_KEY, "--label", "next")
        self.assertEqual(self.ctl("list", status=0).stderr, "")

    def test_prompt_shows_nothing(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        process = subprocess.Popen(
            [SMARTMETERCTL, "key", "add", "house", "--root", str(self.root), "--bus", NO_BUS],
            stdin=slave, stdout=slave, stderr=slave)
        self.addCleanup(process.kill)
        os.close(slave)
        said = ""

        def read_until(words):
            nonlocal said
            with contextlib.suppress(OSError):  # EIO: the other end is closed
                while words not in said:
                    said += os.read(master, 1024).decode()
        read_until("Encryption key")
        os.write(master, f"guek: {TEST_KEY}\n".encode())
        read_until("Authentication key")
        os.write(master, f"{TEST_AUTHENTICATION_KEY}\n".encode())
        read_until("never said")
        self.assertEqual(process.wait(LIMIT_S), 0, said)
        self.assertIn(TEST_AUTHENTICATION_KEY, self.text())
        self.assertNotIn(TEST_KEY[:8], said)
        self.assertNotIn(TEST_AUTHENTICATION_KEY[:8], said)

    def test_no_other_program_of_the_user_may_look(self):
        """proc(5): the files of a process that is not dumpable belong to root."""
        path = self.capture("kaifa-noe")
        self.directory.chmod(0o755)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, write_end)
        process = subprocess.Popen(
            [*self.as_another_user(), SMARTMETERCTL, "key", "test", "--ask", path],
            stdin=read_end, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(stop, process)
        os.close(read_end)
        os.write(write_end, TEST_KEY.encode())
        status = pathlib.Path(f"/proc/{process.pid}")

        def belongs_to_root():
            if process.poll() is not None:
                self.skipTest("another user cannot run the program here")
            return ((status / "comm").read_text().startswith("smartmeterctl") and
                    (status / "environ").stat().st_uid == 0)
        wait_for("a process that is not dumpable", belongs_to_root)
        self.assertNotIn("\t0\t", re.search(r"Uid:.*", (status / "status").read_text())[0])

    def test_several_keys_and_the_daemon_reads_them(self):
        self.add(TEST_KEY, "--meter", "4B464D6750000009", "--label", 'old "one" \\')
        with (self.files / "house.toml").open("a") as stream:
            stream.write("\n# the operator's letter of May\n")
        self.add(f"EK {OTHER_KEY} AK {TEST_AUTHENTICATION_KEY}", "--label", "next")
        self.add(TEST_KEY, name="flat")
        config = self.root / "etc" / "smartmeterd" / "smartmeterd.toml"
        config.write_text("")
        done = subprocess.run([SMARTMETERD, "--check", "--config", str(config)],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        listed = json.loads(self.ctl("list", "--json", status=0).stdout)
        self.assertEqual([(key["name"], key["meter"], key["label"], len(key["authentication"]))
                          for key in listed],
                         [("flat", "*", "", 0), ("house", "4B464D6750000009", 'old "one" \\', 0),
                          ("house", "*", "next", 1)])
        self.assertEqual(listed[0]["encryption"], FINGERPRINT)
        table = self.ctl("list", status=0).stdout
        self.assertRegex(table, rf"house +any +next +authentication +[0-9a-f]{{8}}…")
        with self.subTest("the same again, and another one with the same label"):
            self.assertIn("already", self.ctl("add", "flat", key=TEST_KEY, status=1).stderr)
            self.assertIn("--label", self.ctl("add", "flat", key=OTHER_KEY, status=1).stderr)
            again = f"EK {OTHER_KEY} AK {TEST_AUTHENTICATION_KEY}"
            done = self.ctl("add", "house", "--label", "next", key=again, status=1)
            self.assertIn("already", done.stderr)
        with self.subTest("remove one of a file"):
            self.ctl("remove", "house", "--label", "next", status=0)
            self.assertNotIn(OTHER_KEY, self.text())
            self.assertIn("letter of May", self.text())
            self.assertIn(TEST_KEY, self.text())
        with self.subTest("remove by fingerprint"):
            self.ctl("remove", FINGERPRINT, status=0)
            self.assertEqual(list(self.files.iterdir()), [])
            self.assertIn("no such key", self.ctl("remove", "house", status=1).stderr)

    def test_changes_at_the_same_time(self):
        """Each sees what the one before it has written: no key is lost, none comes back."""
        self.add(TEST_KEY, "--label", "old")
        start = ["key", "remove", "house", "--label", "old"], *(
            ["key", "add", "house", "--label", f"new{i}"] for i in range(1, 9))
        running = [subprocess.Popen(
            [SMARTMETERCTL, *arguments, "--root", str(self.root), "--bus", NO_BUS],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for arguments in start]
        for i, process in enumerate(running[1:], 1):  # all run before the first has its key
            process.stdin.write(f"{i:032x}".encode())
            process.stdin.flush()
        for process in running:
            process.stdin.close()
        for process in running:
            self.assertEqual(process.wait(LIMIT_S), 0, process.stderr.read())
            process.stderr.close()
        listed = json.loads(self.ctl("list", "--json", status=0).stdout)
        self.assertEqual(sorted(key["label"] for key in listed), [f"new{i}" for i in range(1, 9)])

    def test_broken_file_is_named_and_kept(self):
        self.files.mkdir(parents=True)
        broken = self.files / "house.toml"
        broken.write_text(f"[[key]]\nencryption = {TEST_KEY}\n")
        done = self.ctl("add", "house", key=OTHER_KEY, status=1)
        self.assertIn("house.toml:2: not TOML", done.stderr)
        self.assertIn(TEST_KEY, broken.read_text())

    def test_keys_that_are_no_tables_of_their_own_lines_are_kept(self):
        """TOML 1.0: an array that was written with brackets cannot be extended by [[key]]."""
        self.files.mkdir(parents=True)
        inline = self.files / "inline.toml"
        one = f'{{ meter = "*", label = "LABEL", encryption = "{TEST_KEY}" }}'
        inline.write_text(f'key = [{one.replace("LABEL", "a")}, {one.replace("LABEL", "b")}]\n')
        before = inline.read_text()
        for arguments in (("add", "inline"), ("remove", "inline", "--label", "a")):
            done = self.ctl(*arguments, key=OTHER_KEY, status=1)
            self.assertIn("inline.toml: its keys are not in [[key]] tables", done.stderr)
            self.assertEqual((done.stdout, inline.read_text()), ("", before))
        self.ctl("remove", "inline", status=0)
        self.assertFalse(inline.exists())

    def test_one_broken_file_leaves_the_others(self):
        self.add(TEST_KEY)
        self.add(OTHER_KEY, name="third")
        broken = self.files / "bad.toml"
        broken.write_text(f"[[key]]\nencryption = {TEST_KEY}\n")
        done = self.ctl("list", status=1)
        self.assertIn("house", done.stdout)
        self.assertIn("bad.toml:2: not TOML", done.stderr)
        self.assertIn("key remove bad", done.stderr)
        self.assertEqual(len(json.loads(self.ctl("list", "--json", status=1).stdout)), 2)
        self.assertIn("bad.toml:2", self.ctl("remove", "third", status=1).stderr)
        self.assertFalse((self.files / "third.toml").exists())
        self.assertIn("fits", self.ctl("test", self.capture("kaifa-noe"), status=0).stdout)
        self.ctl("remove", "bad", "--label", "next", status=1)
        self.assertTrue(broken.exists())
        self.ctl("remove", "bad", status=0)
        self.assertFalse(broken.exists())
        self.assertEqual(self.ctl("list", status=0).stderr, "")

    def test_not_root(self):
        command = self.as_another_user()
        for arguments in (("add", "house"), ("list",), ("remove", "house")):
            done = subprocess.run([*command, SMARTMETERCTL, "key", *arguments], input="",
                                  capture_output=True, text=True, timeout=LIMIT_S, check=False)
            if "Permission denied" in done.stderr and "smartmeterctl:" not in done.stderr:
                self.skipTest("another user cannot run the program here")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(f'run "sudo smartmeterctl key {" ".join(arguments)}"', done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_without_the_group_nothing_is_made(self):
        """In an /etc of its own, in which there is no group smartmeterd."""
        etc = self.directory / "etc"
        etc.mkdir()
        for name in ("group", "passwd"):
            (etc / name).write_text("")
        shutil.copy("/etc/ld.so.cache", etc)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-euc",
             'mount --bind "$0" /etc && exec "$1" key add house', str(etc), SMARTMETERCTL],
            input=TEST_KEY, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("there is no group smartmeterd", done.stderr)
        self.assertFalse((etc / "smartmeterd").exists())

    def test_recordings(self):
        plain = self.capture("kaifa-noe")  # encrypted, no tag
        self.add(OTHER_KEY)
        done = self.ctl("test", plain, status=1)
        self.assertIn("does not fit: compare it", done.stdout)
        self.assertRegex(done.stdout, r"system title [0-9A-F]{16}")
        self.add(TEST_KEY, name="right")
        done = self.ctl("test", plain, status=0)
        self.assertIn("carries no tag", done.stdout)
        self.assertIn("does not fit", done.stdout)
        self.assertNotIn("compare it", done.stdout)  # another one does
        done = self.ctl("test", "--ask", plain, key=f"EK {OTHER_KEY} AK {TEST_KEY}", status=1)
        self.assertIn("swapped", done.stdout)

    def test_recordings_with_a_tag(self):
        path = self.capture("kaifa-burgenland", "--auth-key", TEST_AUTHENTICATION_KEY)
        for key, status, words in (
                (f"EK {TEST_KEY} AK {TEST_AUTHENTICATION_KEY}", 0, "the tag is verified"),
                (f"EK {TEST_KEY} AK {OTHER_KEY}", 1, "authentication key is wrong"),
                (f"EK {TEST_KEY}", 0, "only the authentication key can verify"),
                (f"EK {OTHER_KEY}", 1, "does not fit")):
            with self.subTest(words):
                done = self.ctl("test", "--ask", path, key=key, status=status)
                self.assertIn(words, done.stdout)

    def test_recordings_without_use(self):
        empty = self.directory / "empty"
        empty.write_bytes(b"")
        noise = self.directory / "noise"
        noise.write_bytes(bytes(range(256)) * 4)
        for path, words in ((empty, "is empty"), (noise, "1024 bytes came, but no frame")):
            done = self.ctl("test", "--ask", str(path), key=TEST_KEY, status=1)
            self.assertIn(words, done.stderr)
        for family in ("aidon", "dsmr-5"):  # the latter is text, and no hex
            clear = self.capture(family)
            self.assertIn("not encrypted",
                          self.ctl("test", "--ask", clear, key=TEST_KEY, status=1).stdout)
        text = self.directory / "text"
        text.write_text("68 FA FA 68 ZZ")
        done = self.ctl("test", "--ask", str(text), key=TEST_KEY, status=1)
        self.assertIn("is text, but not hex (line 1, column 13", done.stderr)
        for more in (("--ask", "-"), ("--next", self.pty.path, clear)):
            self.ctl("test", *map(str, more), status=2)

    def test_running_daemon_takes_the_key(self):
        self.bus.start()
        self.config = self.root / "etc" / "smartmeterd" / "smartmeterd.toml"
        self.files.mkdir(parents=True, mode=0o750)
        self.config.write_text('[gateway]\ninstance = "test"\n')
        self.start_daemon(device=f"{self.pty.path},link=mbus", mqtt=False)
        self.wait_opened()
        octets, _ = telegrams("kaifa-noe", 2)
        self.pty.send(octets)
        wait_for("the missing key", lambda: self.bus.adapter_property("Problem") == "key-missing")
        done = self.ctl("add", "house", key=TEST_KEY, bus=self.bus.address, status=0)
        self.assertIn("read its keys again", done.stdout)
        self.pty.send(octets)
        wait_for("a meter", lambda: self.bus.meters() or None)
        path = next(iter(self.bus.meters().values()))
        self.assertEqual(self.bus.property(path, "Meter", "KeyState"), "ok")
        self.assertIn("read its keys again",
                      self.ctl("remove", "house", bus=self.bus.address, status=0).stdout)

    def test_daemon_that_goes_on_with_its_old_keys(self):
        self.bus.start()
        self.files.mkdir(parents=True, mode=0o750)
        self.config = self.root / "etc" / "smartmeterd" / "smartmeterd.toml"
        self.config.write_text("")
        self.start_daemon(device=f"{self.pty.path},link=mbus", mqtt=False)
        wait_for("the adapter", self.bus.adapter)
        (self.files / "other.toml").write_text("[[key]]\n")
        (self.files / "other.toml").chmod(0o644)
        done = self.ctl("add", "house", key=TEST_KEY, bus=self.bus.address, status=1)
        self.assertIn("Stored in", done.stdout)
        self.assertIn("goes on with the keys it had", done.stderr)
        self.assertIn("other.toml: other users may read or change it, run: chmod 640", done.stderr)

    def test_daemon_is_not_running(self):
        self.bus.start()
        done = self.ctl("add", "house", key=TEST_KEY, bus=self.bus.address, status=0)
        self.assertIn("not running", done.stdout)
        done = self.ctl("test", "--next", bus=self.bus.address, status=1)
        self.assertIn("smartmeterd is not running", done.stderr)

    def test_stored_for_another_meter(self):
        path = self.capture("kaifa-noe")
        self.add(TEST_KEY, "--meter", "4B464D1020304050")
        self.assertIn("stored for another meter", self.ctl("test", path, status=1).stdout)

    def test_the_same_key_twice(self):
        done = self.add(f"{TEST_KEY}\n{TEST_KEY}\n")
        self.assertIn("are the same: was one given twice?", done.stderr)


class NextTelegram(KeyWorld):
    """key test on what the meter sends while it waits; the daemon goes on reading."""

    def setUp(self):
        super().setUp()
        self.bus.start()
        self.files.mkdir(parents=True, mode=0o750)
        self.config = self.root / "etc" / "smartmeterd" / "smartmeterd.toml"
        self.config.write_text("")

    def start(self):
        self.start_daemon(device=str(self.pty.path), mqtt=False)
        self.wait_opened()
        wait_for("the adapter", self.bus.adapter)

    def try_on(self, octets, *arguments, key="", status=None, before_end=lambda: None):
        """What it says of octets that come once it waits."""
        process = subprocess.Popen(
            [SMARTMETERCTL, "key", "test", *arguments, "--root", str(self.root), "--bus",
             self.bus.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        process.stdin.write(key)
        process.stdin.close()
        process.stdin = None
        said = process.stderr.readline()
        if said.startswith("Waiting"):
            self.pty.send(octets)
            before_end()
        out, more = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, status, said + more + out)
        return said + more + out

    def test_what_a_key_finds(self):
        self.start()
        tagged, _ = telegrams("kaifa-burgenland", 1, "--auth-key", TEST_AUTHENTICATION_KEY)
        untagged, _ = telegrams("kaifa-noe", 1)
        clear, _ = telegrams("aidon", 1)
        for octets, key, status, words in (
                (tagged, f"EK {TEST_KEY} AK {TEST_AUTHENTICATION_KEY}", 0, "the tag is verified"),
                (tagged, f"EK {TEST_KEY} AK {OTHER_KEY}", 1, "the authentication key is wrong"),
                (tagged, TEST_KEY, 0, "only the authentication key can verify"),
                (tagged, OTHER_KEY, 1, "does not fit: compare it with the operator's letter"),
                (untagged, TEST_KEY, 0, "carries no tag"),
                (clear, TEST_KEY, 1, "is not encrypted")):
            with self.subTest(words):
                # The end of the telegram that was under way, and then a whole one.
                said = self.try_on(octets[len(octets) // 2:] + octets, "--next", "--ask", key=key,
                                   status=status)
                self.assertIn(words, said)
                self.assertIn(f"Waiting for the meter's next telegram on {self.pty.path}", said)

    def test_stored_keys(self):
        self.add(OTHER_KEY, "--label", "old")
        self.add(TEST_KEY, "--label", "new")
        self.start()
        octets, _ = telegrams("kaifa-noe", 1)
        said = self.try_on(octets, status=0)
        self.assertIn("(house, old) does not fit", said)
        self.assertIn(f"key {FINGERPRINT} (house, new) fits", said)
        wait_for("the daemon's own reading", lambda: self.bus.meters() or None)

    def test_why_there_was_no_telegram(self):
        self.start()
        octets, _ = telegrams("kaifa-noe", 1)
        damaged = bytearray(octets)
        damaged[20] ^= 1
        damaged[-10] ^= 1
        for sent, words in ((b"", "no byte came"), (bytes(200), "all of them zero"),
                            (bytes(range(256)) * 4, "1024 bytes came, but no frame"),
                            (bytes(damaged), "no checksum is right"),
                            (octets[:200], "no whole frame is among them"),
                            (octets[:270], "the end of the telegram is missing")):
            with self.subTest(words):
                limit_s = "4" if sent else "1"  # far above what the bytes need
                said = self.try_on(sent, "--ask", "--timeout", limit_s, key=TEST_KEY, status=1)
                self.assertIn(words, said)

    def test_adapter_leaves(self):
        self.start()
        said = self.try_on(b"", "--ask", key=TEST_KEY, status=1,
                           before_end=lambda: stop(self.daemon))
        self.assertIn("smartmeterd has stopped", said)

    def test_port_that_another_program_holds(self):
        fcntl.flock(self.pty.slave, fcntl.LOCK_EX)
        self.start_daemon(device=str(self.pty.path), mqtt=False)
        wait_for("the problem", lambda: self.bus.adapter_property("Problem") == "port-busy")
        said = self.try_on(b"", "--ask", key=TEST_KEY, status=1)
        self.assertIn("another program has opened the port", said)

    def test_which_adapter(self):
        self.start()
        said = self.try_on(b"", "--next", "/dev/nothing", "--ask", key=TEST_KEY, status=1)
        self.assertIn(f'no adapter is called "/dev/nothing"; known: {self.pty.path}', said)
        octets, _ = telegrams("kaifa-noe", 1)
        node = os.ttyname(self.pty.slave)  # what the link leads to
        for name in (str(self.pty.path), node):
            self.assertIn("fits", self.try_on(octets, "--next", name, "--ask", key=TEST_KEY,
                                              status=0))


if __name__ == "__main__":
    tap.main()
