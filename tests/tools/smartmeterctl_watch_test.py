#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl watch on a real terminal (tmux): smartmeterd reads a simulated meter, and the test
looks at the screen, resizes it, presses keys, and sees that the terminal is as before in the end.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import LIMIT_S, METERSIM, SMARTMETERCTL, World, stop, wait_for  # noqa: E402

METER = "181220000009"
EVENING = "2026-11-20T20:00:05+01:00"  # no sun on the roof: power comes from the grid
PROMPT = "ready>"


class Terminal:
    """A shell in a tmux of its own."""

    count = 0

    def __init__(self, directory, columns, rows, environment):
        Terminal.count += 1  # one that ends may still be there
        self.socket = directory / f"tmux{Terminal.count}"
        settings = [f"{name}={value}" for name, value in
                    {"PS1": PROMPT + " ", "TERM": "screen", "LC_ALL": "C.UTF-8",
                     **environment}.items()]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  "env", "-u", "NO_COLOR", *settings, "bash", "--norc", "--noprofile")
        self.wait(PROMPT)

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-u", "-S", str(self.socket), *arguments],
                              capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options)

    def wait(self, words):
        """The screen once it shows the words (a regular expression)."""
        def shown():
            screen = self.screen()
            return screen if re.search(words, screen) else None
        try:
            return wait_for(words, shown)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.screen()}") from None

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, line):
        self.tmux("send-keys", "-l", line)
        self.press("Enter")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def ask(self, what):
        return self.tmux("display-message", "-p", f"#{{{what}}}").strip()

    def stop(self):
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"], check=False,
                       capture_output=True)


class Watch(World):
    def setUp(self):
        super().setUp()
        self.bus.start()
        self.write_key()

    def simulate(self, family, name, *options):
        link, values = self.directory / name, self.directory / f"{name}.values"
        with values.open("w") as stream:
            meter = subprocess.Popen(
                [METERSIM, "run", family, "--link", str(link), "--interval", "0.5", "--baud",
                 "115200", "--start", EVENING, "--print-values", *options], stdout=stream)
        self.addCleanup(stop, meter)
        wait_for(name, link.exists)
        return meter

    def start(self, mqtt=True):
        self.meter = self.simulate("kaifa-noe", "kaifa")
        if mqtt:
            self.broker.start()
        self.start_daemon(device=f"{self.directory / 'kaifa'},link=mbus", mqtt=mqtt)
        wait_for("the meter on the bus", lambda: METER in self.bus.meters())

    def sent(self, name="kaifa"):
        values = (self.directory / f"{name}.values").read_text()
        return [json.loads(line)["readings"] for line in values.splitlines()
                if line.startswith("{") and line.endswith("}}")]

    def terminal(self, columns=80, rows=24, **environment):
        terminal = Terminal(self.directory, columns, rows, environment)
        self.addCleanup(terminal.stop)
        return terminal

    def watch(self, terminal, *arguments):
        terminal.type(f"{SMARTMETERCTL} watch --bus {self.bus.address} {' '.join(arguments)}")

    def test_values_of_the_meter(self):
        self.start()
        terminal = self.terminal(100, 30)
        self.watch(terminal)
        screen = terminal.wait(r"import \d+ W +export \d+ W")
        for words in (METER, "KFM electricity", "encrypted, not verified", "synced", "no errors",
                      f"127.0.0.1:{self.broker.port} online"):
            self.assertIn(words, screen)
        said = self.sent()
        power = [f"import {one['power_import']:g} W  export {one['power_export']:g} W"
                 for one in said]
        self.assertTrue(any(words in screen for words in power), screen)
        for phase in (1, 2, 3):
            shown = re.search(rf"L{phase} +([\d.]+) +([\d.]+)", screen)
            self.assertIn((float(shown[1]), float(shown[2])),
                          [(one[f"voltage_l{phase}"], one[f"current_l{phase}"]) for one in said])
        # The next telegram is shown as well.
        count = int(re.search(r"(\d+) telegram", screen)[1])
        terminal.wait(rf"{count + 2} telegrams")
        self.assertIn("█", terminal.screen())  # the power since then
        terminal.press("?")
        terminal.wait("Ctrl-C: leave")
        terminal.press("?")
        terminal.wait("help")
        terminal.press("q")
        terminal.wait(PROMPT)

    def status(self, terminal):
        terminal.type("echo status=$?.")
        return re.search(r"status=(\d+)\.", terminal.wait(r"status=\d+\."))[1]

    def expect_usual(self, terminal):
        """The screen is the shell's again, the cursor is seen, and what is typed is echoed."""
        terminal.wait(PROMPT)
        wait_for("the usual screen", lambda: terminal.ask("alternate_on") == "0")
        self.assertEqual(terminal.ask("cursor_flag"), "1")
        terminal.type("clear; stty -a")
        terminal.wait(rf"(?s)isig icanon.* echo .*{PROMPT}")

    def test_ends(self):
        self.start(mqtt=False)
        terminal = self.terminal()
        for key in ("q", "C-c", "Escape"):
            with self.subTest(key):
                terminal.type("clear")
                self.watch(terminal)
                terminal.wait("from the grid|to the grid")
                self.assertEqual(terminal.ask("cursor_flag"), "0")
                terminal.press(key)
                terminal.wait(PROMPT)
                self.assertEqual(self.status(terminal), "0")
                self.expect_usual(terminal)
        with self.subTest("a signal"):
            terminal.type("clear")
            self.watch(terminal)
            terminal.wait("from the grid|to the grid")
            shell = int(terminal.ask("pane_pid"))
            children = pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGTERM)
            terminal.wait("Terminated")
            self.assertEqual(self.status(terminal), str(128 + signal.SIGTERM))
            self.expect_usual(terminal)

    def test_stop_and_go_on(self):
        self.start(mqtt=False)
        terminal = self.terminal()
        self.watch(terminal)
        terminal.wait("the grid")
        terminal.press("C-z")
        terminal.wait("Stopped")
        self.expect_usual(terminal)
        terminal.resize(100, 30)
        terminal.type("fg")
        terminal.wait("the grid")
        self.assertNotIn("Stopped", terminal.screen())
        wait_for("the whole width", lambda: any(len(line) > 90 for line in
                                                terminal.screen().splitlines()))
        terminal.press("q")
        self.expect_usual(terminal)

    def still(self, terminal):
        """The screen without what changes as time goes on."""
        return re.sub(r"\d+:\d+:\d+|\d+ (s|min) ago", "·", terminal.screen())

    def test_sizes(self):
        self.start(mqtt=False)
        terminal = self.terminal()
        self.watch(terminal)
        terminal.wait("the grid")
        stop(self.meter)  # from now on only time passes
        terminal.wait("waiting")
        for columns, rows in ((100, 30), (40, 10), (39, 10), (12, 3), (1, 1), (200, 50), (60, 9),
                              (80, 24)):
            with self.subTest(f"{columns}×{rows}"):
                terminal.resize(columns, rows)
                if columns < 40 or rows < 10:
                    beginning = "too small: 40×10 is needed"[:max(columns - 1, 0)]
                    wait_for("it", lambda: terminal.screen().startswith(beginning))
                    wait_for("nothing else", lambda: len(terminal.screen().split("\n", 1)[1]
                                                         .strip()) == 0)
                    continue
                wait_for("the foot in its last line", lambda: terminal.screen()
                         .splitlines()[-1].endswith(": help")
                         and len(terminal.screen().splitlines()) == rows
                         and len(terminal.screen().splitlines()[-1]) == columns)
                # A terminal that is drawn anew looks the same: nothing of before is left over.
                seen = self.still(terminal)
                terminal.press("C-l")
                wait_for("the same", lambda: self.still(terminal) == seen)
                self.assertIn(METER, seen)
        terminal.press("q")
        self.expect_usual(terminal)

    def test_the_daemon_goes_and_returns(self):
        self.start(mqtt=False)
        terminal = self.terminal()
        self.watch(terminal)
        terminal.wait("the grid")
        stop(self.daemon)
        self.assertIn(METER, terminal.wait("smartmeterd has stopped, waiting"))
        self.start_daemon(device=f"{self.directory / 'kaifa'},link=mbus", mqtt=False)
        wait_for("its return", lambda: "has stopped" not in terminal.screen())
        terminal.wait("the grid")
        terminal.wait("synced")
        stop(self.meter)
        terminal.wait("waiting")  # the adapter is unplugged
        self.bus.stop()
        terminal.wait("smartmeterctl: the bus has gone away")
        self.assertEqual(self.status(terminal), "1")
        self.expect_usual(terminal)

    def test_several_meters(self):
        self.simulate("kaifa-noe", "kaifa")
        self.simulate("dsmr-5", "p1")
        self.start_daemon("--device", f"{self.directory / 'p1'},link=p1",
                          device=f"{self.directory / 'kaifa'},link=mbus", mqtt=False)
        wait_for("all meters", lambda: len(self.bus.meters()) == 5)
        terminal = self.terminal(80, 24)
        self.watch(terminal)
        screen = terminal.wait("1 of 2")
        first = re.search(r"^> +(\w+)", screen, re.MULTILINE)[1]
        terminal.press("Down")
        second = re.search(r"^> +(\w+)", terminal.wait("2 of 2"), re.MULTILINE)[1]
        self.assertNotEqual(first, second)
        terminal.press("Tab")
        terminal.wait("1 of 2")
        terminal.press("NPage")
        terminal.wait("2 of 2")
        terminal.press("Up")
        terminal.wait("1 of 2")
        terminal.resize(80, 50)
        screen = terminal.wait("gas +G")  # everything fits
        self.assertRegex(screen, r"water +W\w+ +[\d.]+ m³")
        self.assertRegex(screen, r"heat +H\w+ +[\d.]+ kWh")
        self.assertIn(METER, screen)
        terminal.press("q")
        terminal.wait(PROMPT)

    def test_kinds_of_terminals(self):
        self.start(mqtt=False)
        for kind in ("linux", "xterm-256color", "screen", "tmux", "vt100"):
            with self.subTest(kind):
                terminal = self.terminal(TERM=kind)
                self.watch(terminal)
                terminal.wait(r"import \d+ W")
                self.assertEqual("▼" in terminal.screen(), kind != "linux")
                terminal.press("q")
                terminal.wait(PROMPT)
                terminal.stop()
        for kind, words in (("dumb", 'type "dumb" cannot show more'),
                            ("nix-such", 'type "nix-such" is not known')):
            with self.subTest(kind):
                terminal = self.terminal(120, 30, TERM=kind)
                self.watch(terminal)
                screen = terminal.wait(rf"\d\d:\d\d:\d\d  {METER}  .*power_import \d+ W")
                self.assertIn(words, screen)
                terminal.press("C-c")
                terminal.wait(r"\^C")
                self.assertEqual(self.status(terminal), "0")
                terminal.stop()

    def test_a_locale_without_unicode(self):
        self.start(mqtt=False)
        terminal = self.terminal(LC_ALL="C")
        self.watch(terminal)
        screen = terminal.wait(r"import \d+ W")
        self.assertIn("v from the grid", screen)
        self.assertTrue(screen.isascii(), screen)
        terminal.press("q")
        terminal.wait(PROMPT)

    def test_silence_is_told(self):
        self.start(mqtt=False)
        watch = subprocess.Popen([SMARTMETERCTL, "watch", "--bus", self.bus.address, "--plain"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.stderr.close)
        self.addCleanup(stop, watch)
        self.assertIn(METER, watch.stdout.readline())
        self.daemon.send_signal(signal.SIGSTOP)
        self.assertIn("smartmeterd does not answer", watch.stderr.readline())
        self.daemon.send_signal(signal.SIGCONT)
        self.assertIn("smartmeterd answers again", watch.stderr.readline())

    def test_colours(self):
        self.start(mqtt=False)
        colour = re.compile(r"\033\[(?:[0-9;]*;)?3[1-7](?:;[0-9;]*)?m")
        for environment, expected in (({}, True), ({"NO_COLOR": ""}, True),
                                      ({"NO_COLOR": "1"}, False)):
            for verb in ("watch", "list", "show", "doctor --wait 0"):
                with self.subTest(f"{verb} {environment}"):
                    terminal = self.terminal(TERM="xterm-256color", **environment)
                    terminal.type(f"clear; {SMARTMETERCTL} {verb} --bus {self.bus.address}")
                    terminal.wait("synced|last update|Verdict")
                    screen = terminal.screen("-e")
                    self.assertEqual(bool(colour.search(screen)), expected and verb != "show",
                                     screen)
                    if not expected and verb != "watch":
                        self.assertNotIn("\033[1m", screen)
                    terminal.stop()

    def test_lines_on_a_terminal_and_in_a_pipe(self):
        self.start(mqtt=False)
        terminal = self.terminal(120, 30)
        self.watch(terminal, "--plain")
        terminal.wait(rf"\d\d:\d\d:\d\d  {METER}  .*power_import \d+ W")
        self.assertEqual(terminal.ask("alternate_on"), "0")
        terminal.press("C-c")
        terminal.wait(r"\^C")
        self.assertEqual(self.status(terminal), "0")
        done = subprocess.run([SMARTMETERCTL, "watch", "--bus", self.bus.address, "--count", "2"],
                              capture_output=True, timeout=LIMIT_S, check=True,
                              env={**os.environ, "TERM": "xterm"})
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertNotIn(b"\033", done.stdout)
        self.assertEqual(done.stderr, b"")

    def test_names_that_would_control_a_terminal(self):
        """Every text of the service does, and no verb lets one through, on a terminal or not."""
        service = subprocess.Popen([os.environ["FAKE_METERS"], self.bus.address],
                                   stdout=subprocess.PIPE)
        self.addCleanup(service.stdout.close)
        self.addCleanup(stop, service)
        self.assertEqual(service.stdout.readline(), b"ready\n")
        sequence = re.compile(r"\033\[[0-9;]*[mK]|[\n\r]")  # colours, and what rewrites a line
        for verb in ("list", "show", "show --stats", "show nix", "doctor --wait 0", "probe",
                     "watch nix"):
            command = [SMARTMETERCTL, *verb.split(), "--bus", self.bus.address]
            for on_terminal in (True, False):
                with self.subTest(f"{verb} {on_terminal}"):
                    said = self.said_on_terminal(command) if on_terminal else subprocess.run(
                        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        timeout=LIMIT_S, check=False).stdout.decode()
                    self.assertIn("]0;owned", said)  # it was shown, as text
                    self.assertNotRegex(said, r"X\nY|\rX")
                    rest = sequence.sub("", said)
                    self.assertTrue(rest.isprintable(), ascii(rest))
        with self.subTest("times that are no numbers"):
            said = subprocess.run([SMARTMETERCTL, "show", "--stats", "--json", "--bus",
                                   self.bus.address], capture_output=True, timeout=LIMIT_S,
                                  check=True).stdout
            [times] = json.loads(said)["adapters"][0]["latencies"].values()
            self.assertEqual(times, {"count": 7, "min": None, "median": 0.5, "p99": None,
                                     "max": None})
        terminal = self.terminal(120, 30)
        self.watch(terminal)
        screen = terminal.wait("import 1234 W")
        self.assertIn("]0;owned", screen)
        self.assertNotIn("owned", terminal.ask("pane_title"))
        self.assertIn(": help", screen.splitlines()[-1])

    def said_on_terminal(self, command):
        mine, its = os.openpty()
        done = subprocess.Popen(command, stdin=its, stdout=its, stderr=its,
                                env={**os.environ, "TERM": "xterm"})
        os.close(its)
        said = b""
        try:
            while piece := os.read(mine, 4096):
                said += piece
        except OSError:  # EIO: it has ended
            pass
        os.close(mine)
        done.wait(LIMIT_S)
        return said.decode()


if __name__ == "__main__":
    tap.main()
