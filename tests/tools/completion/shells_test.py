#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Completion in bash, zsh and fish themselves, with what a running smartmeterd offers.

The scripts lie where each shell looks for those of installed packages. bash and zsh run on a pseudo
terminal; a key writes the line that is being typed into a file.
"""

import os
import pathlib
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import (LIMIT_S, METERSIM, NO_BUS, SMARTMETERCTL, SMARTMETERD,  # noqa: E402
                     World, stop, wait_for)

SCRIPTS = pathlib.Path(os.environ["COMPLETION_SCRIPTS"])
PROGRAMS = {"smartmeterctl": SMARTMETERCTL, "smartmeterd": SMARTMETERD, "metersim": METERSIM}
# Where a shell finds the scripts, below a directory of data.
PLACES = {"bash": "bash-completion/completions/{}", "zsh": "zsh/site-functions/_{}",
          "fish": "fish/vendor_completions.d/{}.fish"}
TAB, KEY_WRITE, KEY_ALL, KEY_CLEAR = "\t", "\x14", "\x1f", "\x15"


class Shells(World):
    """A directory in which somebody works, a bus, and the scripts in their places."""

    NAMES = ("Haus Süd", "O'Brien's \"Café\"", "$(touch ran)`touch ran`;touch ran", "x=1:2@3")

    def setUp(self):
        super().setUp()
        self.work = self.directory / "work"
        self.work.mkdir()
        for name in ("capture.hex", "guek.txt", "two words.hex"):
            (self.work / name).write_text("")
        (self.work / "folder").mkdir()
        programs = self.directory / "bin"
        programs.mkdir()
        self.data = self.directory / "share"
        for name, program in PROGRAMS.items():
            (programs / name).symlink_to(program)
            for shell, place in PLACES.items():
                path = self.data / place.format(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(SCRIPTS / f"{name}.{shell}", path)
        self.environment = {
            "HOME": str(self.directory), "TERM": "xterm", "LC_ALL": "C.UTF-8",
            "PATH": f"{programs}:{os.environ['PATH']}", "OUT": str(self.directory / "line"),
            "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address,
            "BASH_COMPLETION_USER_DIR": str(self.data / "bash-completion"),
            "XDG_DATA_DIRS": str(self.data), "XDG_CONFIG_HOME": str(self.directory / "config"),
            **{name: value for name, value in os.environ.items()
               if name.startswith(("ASAN_", "UBSAN_", "LSAN_"))}}

    def start(self):
        """A meter for each name on the bus; their ids, in order."""
        self.bus.start()
        self.write_key()
        meters, lines = [], []
        for unit in range(len(self.NAMES)):
            link = self.directory / f"meter{unit}"
            lines.append(link)
            process = subprocess.Popen(
                [METERSIM, "run", "kaifa-noe", "--unit", str(unit), "--link", str(link),
                 "--interval", "0.5", "--baud", "115200"], stdout=subprocess.DEVNULL)
            self.addCleanup(stop, process)
            meters.append(str(181220000009 + unit))
        self.ids = meters
        for link in lines:
            wait_for("the simulated meters", link.exists)
        self.config.write_text("".join(
            f"[meter.m{i}]\nid = '{meter}'\nname = '''{name}'''\n"
            for i, (meter, name) in enumerate(zip(meters, self.NAMES))))
        others = [word for link in lines[1:] for word in ("--device", f"{link},link=mbus")]
        self.start_daemon(*others, device=f"{lines[0]},link=mbus", mqtt=False)
        wait_for("the meters on the bus", lambda: set(meters) <= set(self.bus.meters()))

    def nothing_ran(self):
        self.assertFalse((self.work / "ran").exists())
        self.assertFalse((self.directory / "ran").exists())


class Terminal:
    """An interactive shell on a pseudo terminal."""

    def __init__(self, command, environment, directory):
        self.out = pathlib.Path(environment["OUT"])
        self.shown = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(command[0], command, environment)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_for("the prompt", lambda: b"> " in self.shown)

    def _read(self):
        try:
            while octets := os.read(self.master, 4096):
                self.shown += octets
        except OSError:  # the shell has ended
            pass

    def type(self, text):
        os.write(self.master, text.encode())

    def line_after(self, text, key=TAB):
        """What stands on the line after this was typed and the key was pressed."""
        self.out.unlink(missing_ok=True)
        self.type(KEY_CLEAR + text + key + KEY_WRITE)

        def written():
            if not self.out.exists():
                return None
            line = self.out.read_text(errors="replace")
            return line[:-1] if line.endswith("\0") else None
        try:
            return wait_for("the shell's line", written)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.shown!r}") from error

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.reader.join(5)
        os.close(self.master)


class OnATerminal:
    """The cases of bash and zsh, which know the same quotes."""

    def setUp(self):
        super().setUp()
        self.terminal = self.shell()
        self.addCleanup(self.terminal.stop)

    def completed(self, text):
        return self.terminal.line_after(text)

    def offered(self, text):
        """All that is offered for the last word."""
        words = shlex.split(self.terminal.line_after(text, KEY_ALL))
        return words[len(shlex.split(text + "x")) - 1:]

    def test_verbs_and_options(self):
        self.assertEqual(self.completed("smartmeterctl sh"), "smartmeterctl show ")
        self.assertEqual(self.completed("smartmeterctl show --js"), "smartmeterctl show --json ")
        self.assertEqual(self.completed("smartmeterctl key rem"), "smartmeterctl key remove ")
        self.assertEqual(set(self.offered("smartmeterctl key ")), {"add", "list", "remove", "test"})
        self.assertEqual(self.completed("metersim run kaifa-tin"), "metersim run kaifa-tinetz ")
        self.assertEqual(self.completed("smartmeterd --bus sess"), "smartmeterd --bus session ")
        self.assertEqual(self.completed("./../bin/smartmeterctl sh"),
                         "./../bin/smartmeterctl show ")

    def test_values(self):
        self.assertEqual(self.completed("smartmeterctl claim --kind mb"),
                         "smartmeterctl claim --kind mbus ")
        self.assertEqual(self.completed("smartmeterctl claim --kind=mb"),
                         "smartmeterctl claim --kind=mbus ")
        self.assertEqual(set(self.offered("smartmeterctl claim --kind ")),
                         {"mbus", "ir", "p1", "none"})
        self.assertEqual(self.completed("smartmeterctl decode --zone Europe/Vien"),
                         "smartmeterctl decode --zone Europe/Vienna ")

    def test_files(self):
        self.assertEqual(self.completed("smartmeterctl decode cap"),
                         "smartmeterctl decode capture.hex ")
        self.assertEqual(self.completed("smartmeterctl decode tw"),
                         "smartmeterctl decode two\\ words.hex ")
        self.assertEqual(self.completed("smartmeterctl decode --key @gu"),
                         "smartmeterctl decode --key @guek.txt ")
        self.assertEqual(self.completed("smartmeterctl decode --key=@gu"),
                         "smartmeterctl decode --key=@guek.txt ")
        self.assertEqual(self.completed("metersim run kaifa-noe --out=cap"),
                         "metersim run kaifa-noe --out=capture.hex ")
        self.assertEqual(self.completed("metersim seeds fol").rstrip("/ "),
                         "metersim seeds folder")
        self.assertEqual(self.completed("metersim seeds cap"), "metersim seeds cap")

    def test_meters(self):
        self.start()
        with self.subTest("an id"):
            self.assertEqual(self.completed("smartmeterctl show 1812200000"),
                             "smartmeterctl show 1812200000")
            self.assertEqual(self.completed("smartmeterctl show 181220000009"),
                             "smartmeterctl show 181220000009 ")
        with self.subTest("all ids and names"):
            self.assertEqual(sorted(self.offered("smartmeterctl watch ")),
                             sorted([*self.ids, *self.NAMES]))
        for name in self.NAMES:
            for quote in ("", "'", '"'):
                # The first letter, as it is typed without its meaning.
                typed = "\\" + name[0] if name[0] == "$" and quote != "'" else name[0]
                with self.subTest(f"{quote}{typed}: {name}"):
                    line = self.completed(f"smartmeterctl show {quote}{typed}")
                    self.assertEqual(self.last_word(line), name)
                    self.assertTrue(line.startswith(f"smartmeterctl show {quote}"), line)
        with self.subTest("behind what was completed before"):
            line = self.completed("smartmeterctl show Haus\\ S")
            self.assertEqual(self.last_word(line), "Haus Süd")
            line = self.completed("smartmeterctl show \"O'Brien's \\\"C")
            self.assertEqual(self.last_word(line), "O'Brien's \"Café\"")
            line = self.completed("smartmeterctl show x=1:")
            self.assertEqual(self.last_word(line), "x=1:2@3")
        with self.subTest("adapters"):
            self.assertEqual(self.completed(f"smartmeterctl doctor {self.directory}/meter2"),
                             f"smartmeterctl doctor {self.directory}/meter2 ")
        self.nothing_ran()

    def last_word(self, line):
        """As the shell itself takes the line."""
        script = self.directory / "script"
        script.write_text(line.replace("smartmeterctl", "printf '%s\\0'", 1) + "\n")
        done = subprocess.run([self.SHELL, str(script)], capture_output=True, text=True,
                              env=self.environment, cwd=self.work, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 0, line + done.stderr)
        return done.stdout.split("\0")[-2]

    def test_nobody_answers(self):
        """No bus: nothing is offered, and nothing is said in the middle of the line."""
        self.assertEqual(self.completed("smartmeterctl show 18"), "smartmeterctl show 18")
        self.assertNotIn(b"cannot", self.terminal.shown)
        self.assertNotIn(b"smartmeterctl:", self.terminal.shown)


class Bash(OnATerminal, Shells):
    SHELL = "bash"

    def shell(self):
        rc = self.directory / "bashrc"
        rc.write_text("""
. /usr/share/bash-completion/bash_completion
PS1='> '
bind 'set bell-style none'
bind 'set completion-query-items -1'
bind 'set page-completions off'
write_line() { printf '%s\\0' "$READLINE_LINE" >"$OUT"; }
bind -x '"\\C-t": write_line'
bind '"\\C-_": insert-completions'
""")
        return Terminal(["bash", "--noprofile", "--rcfile", str(rc), "-i"], self.environment,
                        self.work)

    def test_without_the_package(self):
        """The script alone: where the completion of other commands is not installed."""
        self.terminal.stop()
        rc = self.directory / "bashrc"
        script = self.data / PLACES["bash"].format("smartmeterctl")
        rc.write_text(rc.read_text().replace("/usr/share/bash-completion/bash_completion",
                                             shlex.quote(str(script))))
        self.terminal = Terminal(["bash", "--noprofile", "--rcfile", str(rc), "-i"],
                                 self.environment, self.work)
        self._cleanups.pop()
        self.addCleanup(self.terminal.stop)
        self.assertEqual(self.completed("smartmeterctl sh"), "smartmeterctl show ")
        self.assertEqual(self.completed("smartmeterctl claim --kind mb"),
                         "smartmeterctl claim --kind mbus ")


class Zsh(OnATerminal, Shells):
    SHELL = "zsh"

    def shell(self):
        rc = self.directory / ".zshrc"
        rc.write_text(f"""
fpath=({shlex.quote(str(self.data / 'zsh' / 'site-functions'))} $fpath)
autoload -Uz compinit
compinit -u -d {shlex.quote(str(self.directory / 'zcompdump'))}
PS1='> '
bindkey -e
unsetopt beep
setopt no_auto_remove_slash
LISTMAX=10000
write-line() {{ print -rn -- "$BUFFER" >"$OUT.new"; printf '\\0' >>"$OUT.new";
  mv "$OUT.new" "$OUT" }}
zle -N write-line
bindkey '^T' write-line
bindkey '^U' kill-whole-line
insert-all() {{ compstate[insert]=all compstate[list]= }}
all-of-them() {{ comppostfuncs=(insert-all); _main_complete "$@" }}
zle -C all-of-them complete-word all-of-them
bindkey '^_' all-of-them
""")
        return Terminal(["zsh", "-i"], self.environment, self.work)


class Fish(Shells):
    def complete(self, text, *options):
        done = subprocess.run(["fish", "--no-config", "-c", """
set -gx fish_complete_path $fish_complete_path $argv[1]
complete $argv[3..] -C $argv[2]
""", str((self.data / PLACES["fish"]).parent), text, *options], capture_output=True, text=True,
                              env=self.environment, cwd=self.work, timeout=LIMIT_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return dict(line.partition("\t")[::2] for line in done.stdout.splitlines())

    def test_verbs_and_options(self):
        self.assertEqual(list(self.complete("smartmeterctl sh")), ["show"])
        self.assertEqual(self.complete("smartmeterctl sh")["show"], "every value of a meter")
        self.assertEqual(list(self.complete("smartmeterctl show --js")), ["--json"])
        self.assertEqual(set(self.complete("smartmeterctl key ")),
                         {"add", "list", "remove", "test"})
        self.assertEqual(list(self.complete("metersim run kaifa-tin")), ["kaifa-tinetz"])
        self.assertEqual(list(self.complete("smartmeterd --bus sess")), ["session"])

    def test_values(self):
        self.assertEqual(set(self.complete("smartmeterctl claim --kind ")),
                         {"mbus", "ir", "p1", "none"})
        self.assertEqual(list(self.complete("smartmeterctl claim --kind=mb")), ["--kind=mbus"])

    def test_files(self):
        self.assertEqual(list(self.complete("smartmeterctl decode cap")), ["capture.hex"])
        self.assertEqual(list(self.complete("smartmeterctl decode --key @gu")), ["@guek.txt"])
        self.assertEqual(list(self.complete("metersim run kaifa-noe --out=cap")),
                         ["--out=capture.hex"])
        self.assertEqual(list(self.complete("metersim seeds ")), ["folder/"])

    def test_meters(self):
        self.start()
        self.assertEqual(set(self.complete("smartmeterctl watch ")), {*self.ids, *self.NAMES})
        self.assertEqual(self.complete("smartmeterctl show 181220000009"),
                         {"181220000009": "Haus Süd, electricity"})
        for name in self.NAMES:
            with self.subTest(name):
                typed = "\\" + name[0] if name[0] == "$" else name[0]
                offered = list(self.complete(f"smartmeterctl show {typed}", "--escape"))
                self.assertEqual(len(offered), 1)
                done = subprocess.run(["fish", "--no-config", "-c", f"printf %s {offered[0]}"],
                                      capture_output=True, text=True, env=self.environment,
                                      cwd=self.work, timeout=LIMIT_S, check=False)
                self.assertEqual(done.stdout, name)
        self.nothing_ran()

    def test_nobody_answers(self):
        self.assertEqual(self.complete("smartmeterctl show 18"), {})


class Program(Shells):
    """What the scripts ask, without a shell."""

    def ask(self, program, *words, **environment):
        done = subprocess.run([PROGRAMS[program], "--complete"],
                              input="".join(word + "\0" for word in words), capture_output=True,
                              text=True, timeout=LIMIT_S, check=False,
                              env={**self.environment, **environment})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        head, *lines = done.stdout.splitlines()
        return head, [line.partition("\t")[0] for line in lines]

    def help(self, program, *verb):
        return subprocess.run([PROGRAMS[program], *verb, "--help"], capture_output=True, text=True,
                              timeout=LIMIT_S, check=True).stdout.split("Examples:")[0]

    def verbs(self, program, *verb):
        found = re.search(r"(?m)^Subcommands:\n((?:  .*\n)+)", self.help(program, *verb))
        return re.findall(r"(?m)^  (\S+)", found.group(1)) if found else []

    def test_offers_what_help_shows(self):
        def check(program, *verb):
            options = re.findall(r"(?m)^  (?:-\w,)?(--[\w-]+)", self.help(program, *verb))
            self.assertEqual(sorted(self.ask(program, *verb, "--")[1]), sorted(options))
            verbs = self.verbs(program, *verb)
            if verbs:
                self.assertEqual(self.ask(program, *verb, "")[1], verbs)
            for name in verbs:
                check(program, *verb, name)
        for program in PROGRAMS:
            check(program)

    def test_no_bus_or_one_that_is_silent(self):
        for address in (NO_BUS, "nonsense"):
            self.assertEqual(self.ask("smartmeterctl", "show", "",
                                      DBUS_SYSTEM_BUS_ADDRESS=address), ("words", []))
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(self.bus.path))
            silent.listen()
            self.assertEqual(self.ask("smartmeterctl", "show", ""), ("words", []))

    def test_a_look_starts_nothing(self):
        """The bus could start the service: that is for who wants readings."""
        services = self.directory / "services"
        services.mkdir()
        program = self.directory / "service"
        program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(self.directory / 'ran'))}\n")
        program.chmod(0o755)
        (services / "org.smartmeterd1.service").write_text(
            f"[D-BUS Service]\nName=org.smartmeterd1\nExec={program}\n")
        self.bus.config.write_text(self.bus.config.read_text().replace(
            "<auth>", f"<servicedir>{services}</servicedir><auth>").replace(
            "<type>system</type>", ""))
        self.bus.start()
        self.assertEqual(self.ask("smartmeterctl", "show", ""), ("words", []))
        self.nothing_ran()
        with self.subTest("it would have been started"):
            subprocess.run([SMARTMETERCTL, "list"], env=self.environment, capture_output=True,
                           timeout=LIMIT_S, check=False)
            wait_for("the service", (self.directory / "ran").exists)

    def test_words_of_recordings_and_of_the_past(self):
        self.assertIn("yesterday", self.ask("smartmeterctl", "plot", "--day", "")[1])
        self.assertIn("month", self.ask("smartmeterctl", "history", "--step", "")[1])
        self.assertIn("sml", self.ask("smartmeterctl", "replay", "--link", "")[1])
        self.assertEqual(self.ask("smartmeterctl", "replay", "--pty", "--link", ""), ("files", []))
        self.assertEqual(self.ask("smartmeterctl", "capture", "-o", ""), ("files", []))
        self.assertEqual(self.ask("smartmeterctl", "capture", "--redact", ""), ("files", []))

    def test_keys_by_name(self):
        keys = self.directory / "root/etc/smartmeterd/keys.d"
        keys.mkdir(parents=True)
        (keys / "house.toml").write_text("")
        (keys / "notes.txt").write_text("")
        self.assertEqual(self.ask("smartmeterctl", "key", "remove", "--root",
                                  str(self.directory / "root"), ""), ("words", ["house"]))

    def test_what_a_terminal_may_not_show_is_not_offered(self):
        self.NAMES = ("turned\u202eround", "-rf")
        self.start()
        self.assertEqual(sorted(self.ask("smartmeterctl", "show", "")[1]), self.ids)


del World, Shells, OnATerminal  # no cases of their own


if __name__ == "__main__":
    tap.main()
