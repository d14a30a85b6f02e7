#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl claim and unclaim over simulated adapters; what they write is put before the real
udevadm, which says whose adapter it is then.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["SOURCE_ROOT"], "tests"))
import tap  # noqa: E402
from udev_sandbox import LOCAL_RULES, ROOT, Adapter, BoardPort, Sandbox  # noqa: E402

SMARTMETERCTL = os.environ["SMARTMETERCTL"]
DROP_IN = "etc/systemd/system/smartmeterd.service.d/50-claimed-ports.conf"

# Texts that would be syntax in a rule, a pattern or a shell if they were let in.
HOSTILE = ('A"1', "A*1", "A?1", "A[0-9]", "A|B", "*", "A\\", "A,1", "A 1", "A$1", "A%k", "A{1}",
           "#A", 'x", ENV{SMARTMETER_KIND}="p1', "Ä1", "A;reboot", "$(reboot)", "A\\x221")

# Takes what systemd's library sends to the journal: prints the fields of each message, then runs
# nothing more. $1 = socket, the rest = command.
JOURNAL = """
import os, socket, subprocess, sys
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
    journal.bind(sys.argv[1])
    code = subprocess.run(sys.argv[2:], check=False).returncode
    journal.setblocking(False)
    while True:
        try:
            print(journal.recv(65536).decode())
        except BlockingIOError:
            break
sys.exit(code)
"""

# In the place of udevadm and systemctl: keeps what it was asked for, and makes of a triggered event
# what udevadm test makes of it: links and database entries. udevd would set the group as well.
UDEVADM = """#!/bin/sh
echo "udevadm $*" >>{log}
[ "$1" = trigger ] || exit 0
for path; do
  case "$path" in
    --action=*) action=$path;;
    /sys/*) {udevadm} test "$action" "$path" >/dev/null 2>&1 || exit 1;;
  esac
done
[ -e {log}.no-group ] || chgrp 4711 "$UMOCKDEV_DIR"/dev/tty*
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>{log}
[ "$1" != is-active ] || [ -e {log}.active ]
"""

as_root = unittest.skipIf(os.geteuid() != 0, "the kernel lets only root write udev's database")


class Claims(Sandbox):
    def setUp(self):
        super().setUp()
        self.file = self.rules / LOCAL_RULES

    def ctl(self, devices, *arguments, status=0):
        root = ["--root", str(self.root)] if "--hint" not in arguments else []
        done = self.run_among(devices, SMARTMETERCTL, *arguments, *root)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def claim(self, devices, *arguments, status=0):
        return self.ctl(devices, "claim", *arguments, status=status)

    def unclaim(self, devices, *arguments, status=0):
        return self.ctl(devices, "unclaim", *arguments, status=status)

    def claimed(self, devices):
        """The kind that udev gives each port under the rules as they are; claimed ones alone."""
        kinds = {}
        for tty, output in self.udev_each(devices).items():
            kind = self.properties(output).get("SMARTMETER_KIND", "none")
            if kind != "none":
                self.assert_ours(output)
                self.assertIn(f"/dev/smartmeter_{kind}", self.links(output))
                kinds[tty.rpartition("/")[2]] = kind
            else:
                self.assert_not_ours(output)
        return kinds

    def rules_written(self):
        return [line for line in self.file.read_text().splitlines() if not line.startswith("#")]

    def test_by_serial_number(self):
        mine, other = Adapter(), Adapter(serial="A9XYZ124", place="3", first=1)
        done = self.claim([mine, other], "/dev/ttyUSB0", "--kind", "mbus", "--name", "cellar",
                          "--link", "/dev/smartmeter_modbus", "--priority")
        self.assertIn("A9XYZ123", done.stdout)
        self.assertEqual(self.claimed([mine, other]), {"ttyUSB0": "mbus"})
        output = self.udev([mine, other], mine.tty)
        self.assertLessEqual({"/dev/smartmeter/by-name/cellar", "/dev/smartmeter_modbus"},
                             self.links(output))
        self.assertEqual(self.properties(output)["SMARTMETER_PRIORITY"], "high")
        with self.subTest("for ModemManager, the whole device"):
            self.assertIn("ID_MM_DEVICE_IGNORE=1", self.udev([mine], "/sys" + mine.device))
        with self.subTest("in another socket, as another port"):
            self.assertEqual(self.claimed([Adapter(place="4.1", first=7)]), {"ttyUSB7": "mbus"})
        with self.subTest("everybody may read the file"):
            self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o644)
            self.assertEqual(sorted(path.name for path in self.rules.iterdir()),
                             [LOCAL_RULES, "61-smartmeter.rules"])

    def test_several_at_once_lose_none(self):
        adapters = [Adapter(serial=f"A9XYZ{n}00{n}", place=str(n + 2), first=n) for n in range(6)]
        expected = {f"ttyUSB{n}": "mbus" for n in range(6)}
        at_once = 'jobs=; verb=$1 root=$2; shift 2; for n in 0 1 2 3 4 5; do ' \
                  '"$@" $verb ttyUSB$n --root "$root" $options & jobs="$jobs $!"; done; ' \
                  'for job in $jobs; do wait $job || exit 1; done'
        for verb, options, left in (("claim", "--kind mbus", expected), ("unclaim", "", {})):
            with self.subTest(verb):
                done = self.run_among(adapters, "env", f"options={options}", "sh", "-c", at_once,
                                      "sh", verb, str(self.root), SMARTMETERCTL)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(self.claimed(adapters), left)
        self.assertFalse(self.file.exists())

    def test_by_place_where_there_is_no_serial_number_of_its_own(self):
        cp2102 = {"vendor_id": "10c4", "product_id": "ea60", "vendor": "Silicon Labs",
                  "product": "CP2102 USB to UART Bridge Controller", "driver": "cp210x"}
        for serial in ("0001", "", "00000000", "11111111"):
            with self.subTest(serial):
                adapters = [Adapter(**cp2102, serial=serial),
                            Adapter(**cp2102, serial=serial, place="3", first=1)]
                done = self.claim(adapters, "ttyUSB1", "--kind", "ir")
                self.assertIn("socket", done.stdout)
                self.assertEqual(self.claimed(adapters), {"ttyUSB1": "ir"})
                # The numbers of the ports say nothing.
                again = [Adapter(**cp2102, serial=serial, first=1),
                         Adapter(**cp2102, serial=serial, place="3")]
                self.assertEqual(self.claimed(again), {"ttyUSB0": "ir"})
                # Something else that is plugged in there is not meant.
                self.assertEqual(self.claimed([Adapter(place="3", first=1)]), {})
                self.unclaim(adapters, "ttyUSB1")

    def test_shared_serial_number(self):
        """Clones of one batch: by serial number alone each would be the other one."""
        adapters = [Adapter(serial="A50285BI"), Adapter(serial="A50285BI", place="3", first=1)]
        self.claim(adapters, "ttyUSB0", "--kind", "mbus")
        self.claim(adapters, "ttyUSB1", "--kind", "p1")
        self.assertEqual(self.claimed(adapters), {"ttyUSB0": "mbus", "ttyUSB1": "p1"})

    def test_chips_with_several_ports(self):
        chips = {
            "four interfaces": Adapter("0403", "6011", product="Quad RS232-HS", interfaces=4),
            "four interfaces, by place": Adapter("0403", "6011", serial="", interfaces=4),
            "two ports behind each interface": Adapter("0403", "6011", interfaces=2, ports=2),
            "the same, by place": Adapter("0403", "6011", serial="", interfaces=2, ports=2),
            "ACM": Adapter("1a86", "55d2", interfaces=2, driver="cdc_acm"),
        }
        for what, chip in chips.items():
            with self.subTest(what):
                names = [tty.rpartition("/")[2] for tty in chip.ttys]
                self.claim([chip], names[-1], "--kind", "mbus")
                self.assertEqual(self.claimed([chip]), {names[-1]: "mbus"})
                self.claim([chip], names[0], "--kind", "ir")
                self.assertEqual(self.claimed([chip]), {names[-1]: "mbus", names[0]: "ir"})
                self.assertNotIn("ID_MM_DEVICE_IGNORE=1", self.udev([chip], "/sys" + chip.device))
                self.unclaim([chip], names[0])
                self.assertEqual(self.claimed([chip]), {names[-1]: "mbus"})
                self.unclaim([chip], names[-1])
                self.assertFalse(self.file.exists())

    def test_port_on_the_board(self):
        port, adapter = BoardPort(), Adapter()
        done = self.claim([port, adapter], "ttyAMA0", "--kind", "p1", "--dry-run")
        self.assertIn("DeviceAllow=/dev/ttyAMA0 rw", done.stdout)
        self.assertFalse((self.root / DROP_IN).exists())
        self.claim([port, adapter], "/dev/ttyAMA0", "--kind", "p1", "--name", "hat")
        self.assertEqual(self.claimed([port, adapter]), {"ttyAMA0": "p1"})
        self.assertEqual((self.root / DROP_IN).read_text().splitlines()[-2:],
                         ["[Service]", "DeviceAllow=/dev/ttyAMA0 rw"])
        second = BoardPort("ttyS4")
        self.claim([second], "ttyS4", "--kind", "ir")
        self.claim([port], "ttyAMA0", "--kind", "ir")
        self.assertEqual((self.root / DROP_IN).read_text().count("DeviceAllow="), 2)
        with self.subTest("systemd takes it"):
            unit = self.directory / "smartmeterd.service"
            unit.write_text("[Service]\nExecStart=/usr/bin/true\n")
            shutil.copytree((self.root / DROP_IN).parent, f"{unit}.d")
            verify = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                                    capture_output=True, text=True, check=False)
            self.assertEqual((verify.stderr.strip(), verify.returncode), ("", 0))
        self.unclaim([port], "ttyAMA0")
        self.assertNotIn("ttyAMA0", (self.root / DROP_IN).read_text())
        self.unclaim([], "ttyS4")  # is not there
        self.assertFalse((self.root / DROP_IN).exists())
        self.assertFalse(self.file.exists())

    def test_hostile_serial_numbers(self):
        for serial in HOSTILE:
            with self.subTest(serial):
                evil = Adapter(serial=serial)
                others = [Adapter(serial="A1", place="3", first=1),
                          Adapter(serial="B", place="4", first=2)]
                listed = self.claim([evil, *others]).stdout
                self.assertIn("which cannot stand in a rule" if len(serial) > 1 else "not its own",
                              listed)
                said = self.claim([evil, *others], "ttyUSB0", "--kind", "mbus").stdout
                self.assertIn("its serial number cannot stand in a rule" if len(serial) > 1 else
                              "no serial number of its own", said)
                rule, = self.rules_written()
                self.assertRegex(
                    rule, r'^(\w+(\{[\w.]+\})?={1,2}"[0-9A-Za-z|_.:@+-]*"(, |$))+$')
                self.assertNotIn("ATTRS{serial}", rule)
                self.assertEqual(self.claimed([evil, *others]), {"ttyUSB0": "mbus"})
                self.file.unlink()

    def test_hostile_names_are_not_shown(self):
        evil = Adapter(vendor="A\x1b[2J\x07", product='B"\t\u202e', serial="\x1b]0;x\x07")
        for arguments in ((), ("--json",), ("ttyUSB0", "--kind", "mbus")):
            shown = self.claim([evil], *arguments).stdout
            self.assertNotRegex(shown, r"[^\n -~]")

    def test_claiming_again_replaces_its_own_line_alone(self):
        other = ('SUBSYSTEM=="tty", SUBSYSTEMS=="usb", ATTRS{idVendor}=="0403", \\\n'
                 '  ATTRS{serial}=="OTHER", ENV{SMARTMETER_KIND}="ir"\n')
        kept = f'# my adapters\n\nSUBSYSTEM=="tty", ENV{{FOO}}="1"\n{other}# the end'
        by_hand = ('SUBSYSTEMS=="usb", ATTRS{serial}=="A9XYZ123", ENV{SMARTMETER_KIND}="ir"\n')
        for old in ("", by_hand):
            with self.subTest(old):
                self.file.write_text(kept.replace("# the end", old + "# the end"))
                self.claim([Adapter()], "ttyUSB0", "--kind", "mbus", "--name", "cellar")
                self.claim([Adapter()], "ttyUSB0", "--kind", "mbus", "--name", "attic")
                text = self.file.read_text()
                self.assertTrue(text.startswith(kept + "\n"), text)
                self.assertEqual(len(text.splitlines()), len(kept.splitlines()) + 1)
                self.assertIn('"attic"', text)
                self.assertEqual(self.claimed([Adapter()]), {"ttyUSB0": "mbus"})
                self.unclaim([Adapter()], "attic")
                self.assertEqual(self.file.read_text(), kept + "\n")
        with self.subTest("the kind is kept where it is not said"):
            self.claim([Adapter()], "ttyUSB0", "--kind", "p1")
            self.claim([Adapter()], "ttyUSB0", "--name", "attic")
            self.assertEqual(self.claimed([Adapter()]), {"ttyUSB0": "p1"})

    def test_a_line_about_several_stays(self):
        adapters = [Adapter(), Adapter(serial="A9XYZ124", place="3", first=1)]
        family = 'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ENV{SMARTMETER_KIND}="ir"\n'
        self.write_local_rules(family)
        self.claim(adapters, "ttyUSB0", "--kind", "mbus")
        self.assertEqual(self.claimed(adapters), {"ttyUSB0": "mbus", "ttyUSB1": "ir"})
        self.assertIn("no meter", self.unclaim(adapters, "ttyUSB0").stdout)
        self.assertEqual(self.claimed(adapters), {"ttyUSB1": "ir"})
        self.assertIn(family, self.file.read_text())

    def test_dry_run_writes_nothing(self):
        done = self.claim([Adapter()], "ttyUSB0", "--kind", "mbus", "--dry-run")
        self.assertIn('ATTRS{serial}=="A9XYZ123", ENV{SMARTMETER_KIND}="mbus"\n', done.stdout)
        self.assertFalse(self.file.exists())
        self.claim([Adapter()], "ttyUSB0", "--kind", "mbus")
        before = self.file.read_text()
        for command in (("claim", "ttyUSB0", "--kind", "ir"), ("unclaim", "ttyUSB0")):
            self.assertIn("Would remove line 3", self.ctl([Adapter()], *command,
                                                          "--dry-run").stdout)
        self.assertEqual(self.file.read_text(), before)

    def test_known_product(self):
        optical = Adapter("17a8", "0001", "Kamstrup", "Kamstrup Optical Eye", "123",
                          properties=("TAGS=:smartmeter:", "SMARTMETER_KIND=ir"))
        done = self.claim([optical], "ttyUSB0")
        self.assertIn("needs no claim", done.stdout)
        self.assertFalse(self.file.exists())
        self.claim([optical], "ttyUSB0", "--name", "hall")
        self.assertEqual(self.claimed([optical]), {"ttyUSB0": "ir"})
        with self.subTest("given back, it is not taken by the database"):
            self.assertIn("no meter", self.unclaim([optical], "ttyUSB0").stdout)
            self.assertEqual(self.claimed([optical]), {})

    def test_marked_as_no_meter(self):
        self.claim([Adapter()], "ttyUSB0", "--kind", "none")
        self.assertEqual(self.claimed([Adapter()]), {})
        self.assert_not_hinted(self.udev([Adapter()], Adapter().tty))
        self.unclaim([Adapter()], "ttyUSB0")
        self.assert_hinted(self.udev([Adapter()], Adapter().tty), "ttyUSB0")
        self.claim([Adapter()], "ttyUSB0", "--kind", "none", "--name", "x", status=2)

    def test_what_unclaim_takes_for_an_adapter(self):
        adapters = [Adapter(), Adapter(serial="A9XYZ124", place="3", first=1),
                    Adapter(serial="", place="4", first=2)]
        for number in range(3):
            self.claim(adapters, f"ttyUSB{number}", "--kind", "mbus")
        whole = self.file.read_text()
        for devices in ([], adapters):
            for word in ("0403", "6001", "tty", "tty|usb", "usb", "mbus", "A9XYZ", "A9XYZ12?"):
                with self.subTest(word, devices=len(devices)):
                    self.assertIn(f"there is no {word}",
                                  self.unclaim(devices, word, status=1).stderr)
            for command in (("unclaim", ""), ("claim", ""), ("claim", "", "--kind", "mbus")):
                with self.subTest(command, devices=len(devices)):
                    self.assertIn("empty", self.ctl(devices, *command, status=2).stderr)
        self.assertEqual(self.file.read_text(), whole)
        for word, left in (("pci-0000:00:14.0-usb-0:4:1.0", {"ttyUSB0", "ttyUSB1"}),
                           ("A9XYZ124", {"ttyUSB0"})):
            self.unclaim([], word)
            self.assertEqual(set(self.claimed(adapters)), left)

    def test_a_serial_number_of_several_lines_unclaims_none(self):
        chip = Adapter("0403", "6011", interfaces=2)
        self.claim([chip], "ttyUSB0", "--kind", "mbus", "--name", "cellar")
        self.claim([chip], "ttyUSB1", "--kind", "ir")
        done = self.unclaim([], "A9XYZ123", status=1)
        self.assertIn("line 3: mbus, cellar", done.stderr)
        self.assertIn("line 4: ir", done.stderr)
        self.assertEqual(self.claimed([chip]), {"ttyUSB0": "mbus", "ttyUSB1": "ir"})
        self.unclaim([], "cellar")
        self.assertEqual(self.claimed([chip]), {"ttyUSB1": "ir"})

    def test_wrong_usage(self):
        for arguments, words in (
                (("ttyUSB0",), "--kind is needed"),
                (("--kind", "mbus"), "name the DEVICE"),
                (("ttyUSB0", "--kind", "modem"), "mbus"),
                (("ttyUSB0", "--kind", "mbus", "--name", "a/b"), "--name"),
                (("ttyUSB0", "--kind", "mbus", "--name", 'a"b'), "--name"),
                (("ttyUSB0", "--kind", "mbus", "--link", "../etc/passwd"), "--link"),
                (("ttyUSB0", "--kind", "mbus", "--link", "/etc/x"), "--link"),
                (("ttyUSB0", "--kind", "mbus", "--link", "a/../b"), "--link"),
                (("ttyUSB0", "--kind", "mbus", "--link", 'a"b'), "--link"),
                (("ttyUSB0", "--kind", "mbus", "--link", "ttyUSB5"), "the kernel or udev"),
                *((("ttyUSB0", "--kind", "mbus", "--link", link), "the kernel or udev")
                  for link in ("smartmeter", "smartmeter/x", "serial", "serial/by-id/x", "input",
                               "disk", "disk/x", "mem", "null", "null/x", "sda", "sdb1", "hda",
                               "nvme0n1", "loop7", "tty", "i2c-1", "stdin", "core", "hidraw0",
                               "rtc0", "urandom")),
                (("ttyUSB0", "--kind", "mbus", "--link", "smartmeter_ir"), "would say ir"),
                (("ttyUSB0", "--kind", "ir", "--link", "smartmeter_p1_b"), "would say p1"),
                (("ttyUSB0", "--kind", "mbus", "--link", "smartmeter_mbus"), "--priority"),
                (("ttyUSB0", "--json"), "--json")):
            with self.subTest(arguments):
                self.assertIn(words, self.claim([Adapter()], *arguments, status=2).stderr)
        self.assertFalse(self.file.exists())

    def test_what_cannot_be_claimed(self):
        file = self.directory / "file"
        file.write_text("")
        for device, words in (
                ("/dev/ttyUSB9", "there is no /dev/ttyUSB9"), ("ttyUSB9", "there is no ttyUSB9"),
                (str(file), "not a serial port"), ("/dev/null", "not a serial port"),
                ("tcp://192.168.1.20:4001", "only ports of this machine")):
            with self.subTest(device):
                done = self.claim([Adapter()], device, "--kind", "mbus", status=1)
                self.assertIn(words, done.stderr)
        with self.subTest("a pseudo-terminal"):
            done = self.run_among([Adapter()], sys.executable, "-c", (
                "import os, subprocess, sys\n"
                "own, other = os.openpty()\n"
                "sys.exit(subprocess.run([sys.argv[1], 'claim', os.ttyname(other), '--kind',"
                " 'mbus', '--root', sys.argv[2]]).returncode)"), SMARTMETERCTL, str(self.root))
            self.assertIn("pseudo-terminal", done.stderr)
            self.assertEqual(done.returncode, 1)
        self.assertFalse(self.file.exists())
        self.assertIn("not claimed", self.unclaim([Adapter()], "ttyUSB0", status=1).stderr)

    def test_links_of_ones_own(self):
        for link in ("smartmeter_modbus", "lesekopf0", "meters/cellar", "smartmeter_mbus2", "vzir0",
                     "stromzaehler", "modbus", "rs485", "portal"):
            with self.subTest(link):
                self.claim([Adapter()], "ttyUSB0", "--kind", "mbus", "--link", link)
                self.assertIn(f"/dev/{link}", self.links(self.udev([Adapter()], Adapter().tty)))

    def test_names_are_given_once(self):
        adapters = [Adapter(), Adapter(serial="A9XYZ124", place="3", first=1)]
        self.claim(adapters, "ttyUSB0", "--kind", "mbus", "--name", "cellar", "--link", "old")
        for option, name in (("--name", "cellar"), ("--link", "old")):
            done = self.claim(adapters, "ttyUSB1", "--kind", "mbus", option, name, status=1)
            self.assertIn(f'gives "{name}" to another adapter (serial number A9XYZ123)',
                          done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "only root may write below /dev")
    def test_a_link_takes_the_place_of_nothing(self):
        for link, words in (("mine", "is no link"), ("mine/x", "is no link"),
                            ("leads", "a link to null"), ("stale", "a link to nowhere")):
            with self.subTest(link):
                done = self.run_among(
                    [Adapter()], "sh", "-c", 'touch /dev/mine && ln -s null /dev/leads && '
                    'ln -s nowhere /dev/stale && exec "$@"', "sh", SMARTMETERCTL, "claim",
                    "ttyUSB0", "--kind", "mbus", "--root", str(self.root), "--link", link)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(words, done.stderr)
        self.assertFalse(self.file.exists())

    @as_root
    def test_by_any_of_its_links(self):
        link = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A9XYZ123-if00-port0"
        done = self.run_among(
            [Adapter()], "sh", "-c",
            'udevadm test --action=add "$1" >/run/log 2>&1 && '
            '"$2" claim "$3" --kind mbus --root "$4"',
            "sh", Adapter().tty, SMARTMETERCTL, link, str(self.root))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.claimed([Adapter()]), {"ttyUSB0": "mbus"})

    def on_the_system(self, devices, *commands):
        """Runs commands without a scratch root, the programs that they start being recorded; what
        these were asked for, and the last one's result."""
        log, programs = self.directory / "log", self.directory / "bin"
        programs.mkdir(exist_ok=True)
        for name, text in (("udevadm", UDEVADM), ("systemctl", SYSTEMCTL)):
            (programs / name).write_text(text.format(log=log, udevadm=shutil.which("udevadm")))
            (programs / name).chmod(0o755)
        log.write_text("")
        done = self.run_among(
            devices, "sh", "-ec",
            'mkdir -p /run/systemd/system; mount -t tmpfs none /etc/systemd/system;'
            f'export PATH={programs}:$PATH; ' + "; ".join(commands))
        return log.read_text().splitlines(), done

    @as_root
    def test_what_follows_the_writing(self):
        adapter = Adapter()
        claim = f"{SMARTMETERCTL} claim ttyUSB0 --kind mbus --name cellar --link old"
        asked, done = self.on_the_system([adapter], claim)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(asked, [
            "udevadm control --reload",
            f"udevadm trigger --action=change --settle /sys{adapter.device}",
            f"udevadm trigger --action=change --settle {adapter.tty}",
            "systemctl is-active --quiet smartmeterd.service",
            "systemctl start smartmeterd.service"])
        for words in ("/dev/smartmeter_mbus\n", "/dev/smartmeter/by-name/cellar\n", "/dev/old\n",
                      "/dev/smartmeter/by-id/mbus-FTDI_FT232R_USB_UART_A9XYZ123-if00-port0\n",
                      "was started", "key add"):
            self.assertIn(words, done.stdout)
        with self.subTest("again: nothing to do, and given back"):
            asked, done = self.on_the_system(
                [adapter], claim, f"{SMARTMETERCTL} claim ttyUSB0", f"{SMARTMETERCTL} claim",
                f"{SMARTMETERCTL} unclaim /dev/smartmeter/by-name/cellar")
            self.assertEqual(done.returncode, 1)  # the list: nobody's adapter is there
            self.assertIn("is claimed already as mbus", done.stdout)
            self.assertIn("Claimed:\n  /dev/ttyUSB0  mbus  cellar\n", done.stdout)
            asked, done = self.on_the_system(
                [adapter], claim, f"{SMARTMETERCTL} unclaim /dev/smartmeter/by-name/cellar")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertFalse(self.file.exists())
            # Debian's rules give a tty its group on "add" alone.
            self.assertEqual(asked[-1], f"udevadm trigger --action=add --settle {adapter.tty}")

    @as_root
    def test_the_group_that_udev_did_not_know(self):
        (self.directory / "log.no-group").write_text("")
        _, done = self.on_the_system([Adapter()],
                                     f"{SMARTMETERCTL} claim ttyUSB0 --kind mbus")
        self.assertEqual(done.returncode, 1)
        self.assertIn("systemctl restart systemd-udevd", done.stderr)
        with self.subTest("the same command again, once udev knows it"):
            _, done = self.on_the_system(
                [Adapter()], f"{SMARTMETERCTL} claim ttyUSB0 --kind mbus || true",
                f"rm {self.directory}/log.no-group", f"{SMARTMETERCTL} claim ttyUSB0 --kind mbus")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("/dev/smartmeter_mbus\n", done.stdout)

    @as_root
    def test_rules_that_are_switched_off(self):
        (self.rules / "61-smartmeter.rules").unlink()
        _, done = self.on_the_system([Adapter()],
                                     f"{SMARTMETERCTL} claim ttyUSB0 --kind mbus")
        self.assertEqual(done.returncode, 1)
        self.assertIn("61-smartmeter.rules is missing", done.stderr)

    @as_root
    def test_the_service_is_restarted_for_a_port_on_the_board(self):
        (self.directory / "log.active").write_text("")
        drop_in = "/" + DROP_IN
        asked, done = self.on_the_system(
            [BoardPort()], f"{SMARTMETERCTL} claim ttyAMA0 --kind p1", f"cat {drop_in}",
            f"{SMARTMETERCTL} unclaim ttyAMA0", f"! test -e {drop_in}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("DeviceAllow=/dev/ttyAMA0 rw\n", done.stdout)
        restart = ["systemctl daemon-reload", "systemctl try-restart smartmeterd.service"]
        self.assertEqual([line for line in asked if line.startswith("systemctl")],
                         ["systemctl is-active --quiet smartmeterd.service", *restart, *restart])

    @as_root
    def test_a_port_in_use(self):
        # The node has the number of a pseudo-terminal, which another program can hold.
        own, other = os.openpty()
        self.addCleanup(os.close, own)
        name, number = os.ttyname(other), os.fstat(other).st_rdev
        os.close(other)
        adapter = Adapter(node=(os.major(number), os.minor(number)))
        for program, options, is_refused in (
                ("meter-reader", "", True), ("ModemManager", "", True), ("smartmeterd", "", False),
                ("meter-reader", "--force", False)):
            with self.subTest(program + options):
                shutil.copy(shutil.which("sleep"), self.directory / program)
                # Not as our own terminal: its end would be ours.
                other = os.open(name, os.O_RDWR | os.O_NOCTTY)
                holder = subprocess.Popen([self.directory / program, "60"], stdin=other)
                os.close(other)
                _, done = self.on_the_system(
                    [adapter], f"{SMARTMETERCTL} claim ttyUSB0 --kind mbus {options}")
                holder.kill()
                holder.wait()
                if is_refused:
                    self.assertEqual(done.returncode, 1, done.stdout)
                    self.assertIn(f"{program} (process {holder.pid})", done.stderr)
                    self.assertIn("--force", done.stderr)
                    self.assertFalse(self.file.exists())
                else:
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.file.unlink()

    def test_only_root(self):
        done = self.run_among(
            [Adapter()], "sh", "-c", 'chmod -R a+rX "$UMOCKDEV_DIR" && exec "$@"', "sh", "setpriv",
            "--reuid=65534", "--clear-groups", SMARTMETERCTL, "claim", "ttyUSB0", "--kind", "mbus",
            "--name", "cellar")
        if "setpriv:" in done.stderr:
            self.skipTest("the kernel lets only root become somebody else")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sudo smartmeterctl claim ttyUSB0 --kind mbus --name cellar", done.stderr)

    def test_list(self):
        devices = [
            Adapter(), BoardPort(),
            Adapter("10c4", "ea60", "Silicon Labs", "CP2102 USB to UART Bridge Controller", "0001",
                    place="3", first=1, driver="cp210x"),
            Adapter("1cf1", "0030", "dresden elektronik", "ConBee II", "DE1", place="4",
                    driver="cdc_acm"),
            Adapter("12d1", "1001", "HUAWEI", "Modem", "", place="5", first=2, driver="option"),
        ]
        self.write_local_rules('KERNEL=="ttyS7", ENV{SMARTMETER_KIND}="p1", '
                               'ENV{SMARTMETER_NAME}="hat"\n')
        shown = self.claim(devices).stdout
        for words in ("sudo smartmeterctl claim /dev/ttyUSB0 --kind mbus", "A9XYZ123", "FT232R",
                      "pci-0000:00:14.0-usb-0:2:1.0", "0403:6001, ftdi_sio",
                      "0001, not its own", "ConBee II: marked as no meter",
                      "HUAWEI Modem: probably something else", "/dev/ttyAMA0  on-board UART",
                      "not plugged in: hat, p1 (/dev/ttyS7)"):
            self.assertIn(words, shown)
        listed = {port["device"]: port for port in json.loads(self.claim(devices, "--json").stdout)}
        self.assertEqual([name for name, port in listed.items() if port["candidate"]],
                         ["/dev/ttyUSB0", "/dev/ttyUSB1"])
        self.assertIs(listed["/dev/ttyUSB0"]["serial_is_unique"], True)
        self.assertIs(listed["/dev/ttyUSB1"]["serial_is_unique"], False)
        self.assertEqual(listed["/dev/ttyAMA0"]["usb_id"], "")
        self.assertIn("plug one in", self.claim([], status=1).stdout)

    def test_the_other_list_shows_them_without_a_bus(self):
        devices = [Adapter(), BoardPort()]
        for arguments in ((), ("--json",)):
            done = self.run_among(devices, SMARTMETERCTL, "list", "--bus", "unix:path=/nix/bus",
                                  *arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot reach the bus", done.stderr)
            self.assertIn("sudo smartmeterctl claim /dev/ttyUSB0 --kind mbus", done.stdout)
            self.assertNotIn("ttyAMA0", done.stdout)
        self.assertEqual([port["device"] for port in json.loads(done.stdout)["unclaimed"]],
                         ["/dev/ttyUSB0"])

    def test_programs_that_take_the_chip(self):
        # As Ubuntu's package has it; Debian's has no such rule in force.
        brltty = self.root / "usr" / "lib" / "udev" / "rules.d" / "85-brltty.rules"
        brltty.parent.mkdir(parents=True)
        brltty.write_text('#ENV{PRODUCT}=="403/6001/*", ENV{BRLTTY_BRAILLE_DRIVER}="hw"\n'
                          'ENV{PRODUCT}=="1a86/7523/*", ENV{BRLTTY_BRAILLE_DRIVER}="bm", '
                          'GOTO="brltty_usb_run"\n')
        ch340 = Adapter("1a86", "7523", "1a86", "USB Serial", "", driver="ch341")
        self.assertIn("wanted by      brltty", self.claim([ch340]).stdout)
        done = self.claim([ch340], "ttyUSB0", "--kind", "mbus")
        self.assertIn("85-brltty.rules gives every adapter with this chip to brltty", done.stderr)
        self.assertNotIn("brltty", self.claim([Adapter()]).stdout)
        with self.subTest("switched off"):
            (self.rules / "85-brltty.rules").symlink_to("/dev/null")
            self.unclaim([ch340], "ttyUSB0")
            self.assertEqual(self.claim([ch340], "ttyUSB0", "--kind", "mbus").stderr, "")

    def test_journal_hint(self):
        command = [sys.executable, "-c", JOURNAL, "/run/systemd/journal/socket", "env",
                   "INVOCATION_ID=1", SMARTMETERCTL, "claim", "--hint"]
        done = self.run_among([Adapter()], *command, "/dev/ttyUSB0")
        self.assertEqual(done.returncode, 0, done.stderr)
        fields = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", done.stdout))
        self.assertIn("sudo smartmeterctl claim /dev/ttyUSB0 --kind mbus", fields["MESSAGE"])
        self.assertIn("A9XYZ123", fields["MESSAGE"])
        self.assertEqual(fields["SMARTMETER_DEVICE"], "/dev/ttyUSB0")
        catalog = (ROOT / "systemd" / "smartmeterd.catalog").read_text()
        self.assertIn(f"-- {fields['MESSAGE_ID']}\n", catalog)
        modem = Adapter(properties=("ID_MM_DEVICE_PROCESS=1",))
        modem_port = Adapter(properties=("ID_MM_PORT_TYPE_AT_PRIMARY=1",))
        phone = Adapter("18d1", "4ee7", driver="cdc_acm",
                        properties=("ID_USB_INTERFACES=:ff4201:020201:0a0000:060101:",))
        claimed = Adapter(properties=("TAGS=:smartmeter:", "SMARTMETER_KIND=ir"))
        marked = Adapter(properties=("SMARTMETER_KIND=none",))
        for device in (modem, modem_port, phone, claimed, marked, BoardPort(), None):
            done = self.run_among([device] if device else [], *command, "/dev/" + (
                device.tty.rpartition("/")[2] if device else "ttyUSB0"))
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    tap.main()
