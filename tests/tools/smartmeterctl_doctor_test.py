#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl doctor: each state is made real, and its verdict is the one that names it.

What udev says comes from umockdev; bus, broker, service, port and other programs are real.
"""

import json
import os
import pathlib
import re
import signal
import stat
import struct
import subprocess
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import (LIMIT_S, METERSIM, NO_BUS, OTHER_KEY, SMARTMETERCTL,  # noqa: E402
                     TEST_AUTHENTICATION_KEY, TEST_KEY, World, free_port, stop, telegrams, wait_for)
from simulated import dutch_p1, mbus_frame  # noqa: E402
from udev_sandbox import Adapter, BoardPort, Sandbox  # noqa: E402

FAKE_SYSTEMD = os.environ["FAKE_SYSTEMD"]
STEPS = ["adapter", "permissions", "programs", "service", "bytes", "line", "frames", "checksum",
         "key", "tag", "decode", "bus", "broker"]


class Doctor(World):
    def setUp(self):
        super().setUp()
        self.root = self.directory / "root"
        self.rules = self.root / "etc" / "udev" / "rules.d"
        self.rules.mkdir(parents=True)
        (self.root / "etc" / "smartmeterd" / "keys.d").mkdir(parents=True)
        # The service's account is whoever runs this: it may use what belongs to it.
        self.account(os.geteuid() or 4711, os.getegid())

    def account(self, user, group):
        (self.root / "etc" / "passwd").write_text(
            f"root:x:0:0::/root:/bin/sh\nsmartmeterd:x:{user}:{group}::/:/bin/false\n")

    def command(self, *arguments, bus=None):
        return [SMARTMETERCTL, "doctor", *arguments, "--root", str(self.root),
                "--bus", bus or self.bus.address]

    def run_doctor(self, *arguments, bus=None, wrap=()):
        done = subprocess.run([*wrap, *self.command(*arguments, bus=bus)], capture_output=True,
                              text=True, timeout=2 * LIMIT_S, check=False)
        self.assertNotIn(TEST_KEY, done.stdout + done.stderr)
        return done

    def examine(self, *arguments, bus=None, wrap=()):
        """The only adapter's document, held against what people read and the exit status."""
        done = self.run_doctor("--json", *arguments, bus=bus, wrap=wrap)
        said = json.loads(done.stdout)
        self.assertEqual(len(said["adapters"]), 1, said)
        one = said["adapters"][0]
        self.assertEqual([step["step"] for step in one["steps"]], STEPS)
        self.assertEqual(done.returncode, 0 if one["verdict"] == "fine" else 1)
        self.assertEqual(said["verdict"], one["verdict"])
        self.steps = {step["step"]: step for step in one["steps"]}
        return one

    def expect(self, verdict, step, *arguments, **named):
        """The verdict, at its step; what is before is well, what is after is not guessed at."""
        one = self.examine(*arguments, **named)
        self.assertEqual((one["verdict"], one["step"]), (verdict, step), one)
        if step is None:
            self.assertNotIn("failed", [found["verdict"] for found in one["steps"]], one)
            return one
        for found in one["steps"][:STEPS.index(step)]:
            self.assertIn(found["verdict"], ("ok", "warning", "skipped"), found)
        return one

    def advice(self):
        return " ".join(step["advice"] or "" for step in self.steps.values())


UNMARKED = ("SMARTMETER_KIND=mbus", "SMARTMETER_NAME=cellar",
            "CURRENT_TAGS=:smartmeter:systemd:", "TAGS=:smartmeter:systemd:")
# What 61-smartmeter.rules leaves in udev's database for a claimed adapter.
CLAIMED = (*UNMARKED, "ID_MM_PORT_IGNORE=1")
CLAIM = ('SUBSYSTEM=="tty", SUBSYSTEMS=="usb", ATTRS{idVendor}=="0403", '
         'ATTRS{serial}=="A9XYZ123", ENV{SMARTMETER_KIND}="mbus"\n')


@unittest.skipUnless(os.environ.get("HAS_UDEV"), "this build asks no udev")
class Plugged(Doctor):
    """What there is before the service comes into it."""

    def plug(self, *properties, mode="660"):
        """A prefix of the command under which an adapter with these properties is there."""
        return self.mock(Adapter(properties=properties).text,
                         f'chmod {mode} "$UMOCKDEV_DIR/dev/ttyUSB0"')

    def mock(self, devices, prepare="true"):
        description = self.directory / "devices.umockdev"
        description.write_text(devices)
        return ["umockdev-run", *(["-d", str(description)] if devices else []), "--",
                "sh", "-c", prepare + ' && exec "$@"', "sh"]

    def test_no_adapter(self):
        self.bus.start()
        one = self.expect("no-adapter", "adapter", wrap=self.mock(""))
        self.assertIsNone(one["adapter"])
        self.assertIn("not reached", self.steps["bytes"]["evidence"])

    def test_unclaimed(self):
        self.bus.start()
        one = self.expect("unclaimed", "adapter", wrap=self.plug())
        self.assertEqual(one["adapter"], "/dev/ttyUSB0")
        self.assertIn("FT232R", self.steps["adapter"]["evidence"])
        self.assertIn("sudo smartmeterctl claim /dev/ttyUSB0", one["advice"])

    def test_a_chip_without_a_port(self):
        """The driver is missing, or brltty has detached it."""
        wrap = self.mock(Adapter("1a86", "7523", "", "USB Serial", "", interfaces=0).text)
        self.bus.start()
        one = self.expect("no-port", "adapter", wrap=wrap)
        self.assertIn("1a86:7523", self.steps["adapter"]["evidence"])
        self.assertIn("journalctl", one["advice"])
        (self.rules / "85-brltty.rules").write_text('ENV{PRODUCT}=="1a86/7523/*", '
                                                    'ENV{BRLTTY_BRAILLE_DRIVER}="bm"\n')
        self.assertIn("apt remove brltty", self.expect("no-port", "adapter", wrap=wrap)["advice"])

    def test_a_claimed_one_is_not_plugged_in(self):
        (self.rules / "60-smartmeter-local.rules").write_text(CLAIM)
        self.bus.start()
        self.expect("no-adapter", "adapter", wrap=self.mock(""))
        self.assertIn("60-smartmeter-local.rules:1", self.steps["adapter"]["evidence"])

    def test_a_port_that_could_be_anything(self):
        self.bus.start()
        one = self.expect("no-adapter", "adapter", wrap=self.mock(BoardPort("ttyAMA0").text))
        self.assertIn("/dev/ttyAMA0", self.steps["adapter"]["evidence"])
        self.assertIn("claim", one["advice"])

    def test_one_of_two_is_claimed(self):
        """The other one may be anything: it is named, and decides nothing."""
        two = (Adapter(properties=CLAIMED).text +
               Adapter("10c4", "ea60", "Silicon Labs", "CP2102", "0001", place="3", first=1,
                       driver="cp210x").text)
        self.bus.start()
        wrap = self.mock(two, 'chmod 660 "$UMOCKDEV_DIR/dev/ttyUSB0"')
        one = self.expect("not-running", "service", wrap=wrap)
        self.assertEqual(one["adapter"], "/dev/ttyUSB0")
        said = json.loads(self.run_doctor("--json", wrap=wrap).stdout)
        self.assertEqual([port["device"] for port in said["unclaimed"]], ["/dev/ttyUSB1"])
        done = self.run_doctor(wrap=wrap)
        self.assertIn("sudo smartmeterctl claim /dev/ttyUSB1", done.stdout)
        self.assertNotIn("ttyUSB1", self.run_doctor("ttyUSB0", "--json", wrap=wrap).stdout)

    def test_said_to_be_no_meter(self):
        one = self.expect("unclaimed", "adapter", "ttyUSB0",
                          wrap=self.plug("SMARTMETER_KIND=none"))
        self.assertIn("no meter", self.steps["adapter"]["evidence"])
        self.assertIn("claim", one["advice"])

    def test_claimed_but_not_taken(self):
        self.expect("not-taken", "adapter", wrap=self.plug("SMARTMETER_KIND=ir"))
        self.assertIn("udevadm trigger", self.advice())

    def test_not_there(self):
        one = self.expect("adapter-missing", "adapter", "/dev/ttyUSB7", wrap=self.plug())
        self.assertIn("/dev/ttyUSB7", self.steps["adapter"]["evidence"])
        self.assertIn("smartmeterctl list", one["advice"])

    def test_not_a_serial_port(self):
        one = self.expect("not-serial", "adapter", "/dev/null")
        self.assertNotIn("claim", self.advice())
        self.assertNotIn("kill", self.advice())
        self.assertIn("/dev/null is not a serial port", self.steps["adapter"]["evidence"])
        self.assertIn("smartmeterctl list", one["advice"])

    def test_wrong_group(self):
        self.account(4711, 4711)
        self.bus.start()
        one = self.expect("no-access", "permissions", wrap=self.plug(*CLAIMED))
        self.assertIn("0660", self.steps["permissions"]["evidence"])
        self.assertIn("udevadm trigger", one["advice"])

    def test_wrong_mode(self):
        self.account(4711, os.getegid())
        one = self.expect("no-access", "permissions",
                          wrap=self.plug(*CLAIMED, mode="600"))
        self.assertIn("0600", self.steps["permissions"]["evidence"])

    def test_another_rule_takes_the_group(self):
        self.account(4711, 4711)
        (self.rules / "99-meter.rules").write_text(
            '# by hand\nKERNEL=="ttyUSB*", GROUP="dialout", \\\n  MODE="0666"\n')
        one = self.expect("no-access", "permissions", wrap=self.plug(*CLAIMED))
        self.assertIn("/etc/udev/rules.d/99-meter.rules:2", one["advice"])

    def test_open_to_all(self):
        self.bus.start()
        self.expect("not-running", "service", wrap=self.plug(*CLAIMED, mode="666"))
        self.assertEqual(self.steps["permissions"]["state"], "open-to-all")

    def test_access_control_list(self):
        """As the kernel decides, acl(5): entries of users, of groups, and the mask."""
        if os.geteuid() != 0:
            self.skipTest("only root makes device nodes")
        self.directory.chmod(0o755)
        node = self.directory / "node"
        os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        os.chmod(node, 0o600)
        self.account(4711, 4711)
        user, group, mask, none = 0x02, 0x08, 0x10, 0xFFFFFFFF
        for entries in ([], [(user, 6, 4711)], [(user, 4, 4711)], [(user, 6, 4712)],
                        [(group, 6, 4711)], [(group, 2, 4711)]):
            for limit in (6, 4) if entries else (None,):
                if entries:
                    entries = sorted([(0x01, 6, none), (0x04, 0, none), (0x20, 0, none),
                                      *(one for one in entries if one[0] in (user, group)),
                                      (mask, limit, none)])
                    os.setxattr(node, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(
                        struct.pack("<HHI", *one) for one in entries))
                may = subprocess.run(["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups",
                                      "test", "-r", node, "-a", "-w", node],
                                     check=False).returncode == 0
                self.examine(str(node), bus=NO_BUS)
                said = self.steps["permissions"]["evidence"]
                self.assertEqual("may use it" in said, may, entries)

    def test_no_account(self):
        (self.root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        one = self.expect("no-account", "permissions", wrap=self.plug(*CLAIMED))
        self.assertIn("systemd-sysusers", one["advice"])

    def test_service_not_running(self):
        self.bus.start()
        one = self.expect("not-running", "service", wrap=self.plug(*CLAIMED))
        self.assertIn("smartmeterd --bus", one["advice"])
        self.assertIn('claimed as mbus "cellar"', self.steps["adapter"]["evidence"])

    def test_no_bus(self):
        one = self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        self.assertEqual((one["verdict"], one["step"]), ("no-bus", "bus"))
        self.assertEqual(self.steps["service"]["verdict"], "unknown")

    def test_what_systemd_says(self):
        self.bus.start()
        for load, active, verdict, step in (
                ("not-found", "inactive", "not-installed", "service"),
                ("masked", "inactive", "not-running", "service"),
                ("loaded", "inactive", "not-running", "service"),
                ("loaded", "failed", "service-failed", "service"),
                ("loaded", "active", "no-name", "bus")):
            with self.subTest(load=load, active=active):
                with subprocess.Popen([FAKE_SYSTEMD, self.bus.address, load, active],
                                      stdout=subprocess.PIPE) as systemd:
                    self.assertEqual(systemd.stdout.readline(), b"ready\n")
                    one = self.examine(wrap=self.plug(*CLAIMED))
                    systemd.terminate()
                self.assertEqual((one["verdict"], one["step"]), (verdict, step))
                self.assertIn("systemctl", one["advice"])

    def programs(self, text, name):
        """The state of the step under a rule file."""
        path = self.root / "usr" / "lib" / "udev" / "rules.d"
        path.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
        self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        return self.steps["programs"]

    def test_brltty(self):
        """A rule as Ubuntu ships it takes the chip; one that names another maker's strings not."""
        other = ('ENV{PRODUCT}=="403/6001/*", ATTRS{manufacturer}=="Hedo Reha Technik GmbH", '
                 'ENV{BRLTTY_BRAILLE_DRIVER}="hd"\n')
        self.assertEqual(self.programs(other, "85-brltty.rules")["verdict"], "ok")
        plain = 'ENV{PRODUCT}=="403/6001/*", ENV{BRLTTY_BRAILLE_DRIVER}="fs"\n'
        step = self.programs(other + plain, "85-brltty.rules")
        self.assertEqual((step["verdict"], step["state"]), ("warning", "brltty"))
        self.assertIn("/usr/lib/udev/rules.d/85-brltty.rules:2", step["evidence"])
        (self.rules / "85-brltty.rules").symlink_to("/dev/null")  # switched off, udev(7)
        self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        self.assertEqual(self.steps["programs"]["verdict"], "ok")

    def test_gpsd(self):
        rule = ('#ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6001", SYMLINK+="gps%n"\n'
                'ATTRS{idVendor}=="067b", ATTRS{idProduct}=="2303", SYMLINK+="gps%n", '
                'TAG+="systemd", ENV{SYSTEMD_WANTS}="gpsdctl@%k.service"\n')
        self.assertEqual(self.programs(rule, "60-gpsd.rules")["verdict"], "ok")
        rule = rule.replace("#", "")
        self.assertEqual(self.programs(rule, "60-gpsd.rules")["verdict"], "ok")  # 61 undoes it
        self.examine("ttyUSB0", wrap=self.plug(), bus=NO_BUS)
        step = self.steps["programs"]
        self.assertEqual(step["verdict"], "warning")  # ModemManager may run here, too
        self.assertIn("60-gpsd.rules:1", step["evidence"])
        self.assertIn("apt remove gpsd", step["advice"])
        self.assertIn("99-gpsd.rules:1", self.programs(rule, "99-gpsd.rules")["evidence"])

    def test_rules_of_this_machine(self):
        (self.rules / "99-kaifa.rules").write_text(
            'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6001", '
            'SYMLINK+="smartmeter_modbus"\n')
        self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        step = self.steps["programs"]
        self.assertEqual((step["verdict"], step["state"]), ("warning", "other-rule"))
        self.assertIn("99-kaifa.rules:1", step["evidence"])
        self.assertIn("--link", step["advice"])

    def test_left_over_claim(self):
        local = self.rules / "60-smartmeter-local.rules"
        local.write_text(CLAIM)
        self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        self.assertEqual(self.steps["programs"]["verdict"], "ok")
        local.write_text("# two\n" + CLAIM + CLAIM.replace("A9XYZ123", "A9OLD456"))
        self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        step = self.steps["programs"]
        self.assertEqual((step["verdict"], step["state"]), ("warning", "left-over-rule"))
        self.assertIn("60-smartmeter-local.rules:3", step["evidence"])

    def test_modem_manager(self):
        """By the name of a running program, and whether the port is marked."""
        program = self.directory / "ModemManager"
        program.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
        program.chmod(0o755)
        running = subprocess.Popen([program, str(2 * LIMIT_S)])
        self.addCleanup(stop, running)
        self.examine(wrap=self.plug(*CLAIMED), bus=NO_BUS)
        self.assertEqual(self.steps["programs"]["verdict"], "ok")
        self.examine(wrap=self.plug(*UNMARKED), bus=NO_BUS)
        self.assertEqual(self.steps["programs"]["state"], "modem-manager")


@unittest.skipUnless(os.environ.get("HAS_UDEV"), "this build asks no udev")
class Products(Sandbox):
    """What the hardware database says of devices that made no port."""

    def test_known_products_without_a_port(self):
        for product_id, verdict in (("0005", "no-port"), ("0001", "no-port"),
                                    ("0011", "no-adapter")):  # the last: a radio sniffer
            device = Adapter("17a8", product_id, "Kamstrup A/S", "Reader", "", interfaces=0)
            done = self.run_among([device], SMARTMETERCTL, "doctor", "--json", "--bus", NO_BUS,
                                  "--root", str(self.root))
            one = json.loads(done.stdout)["adapters"][0]
            self.assertEqual((one["verdict"], one["step"]), (verdict, "adapter"), one)
            if verdict == "no-port":
                self.assertIn(f"17a8:{product_id} (Reader)", one["steps"][0]["evidence"])


class Port(Doctor):
    """The service on a real port."""

    def start(self, *options, link="mbus", key=TEST_KEY, authentication=None, mqtt=False):
        self.bus.start()
        if key:
            self.write_key(key, authentication)
        self.start_daemon(*options, device=f"{self.pty.path},link={link}", mqtt=mqtt)
        self.wait_opened()
        wait_for("the adapter on the bus", self.bus.adapter)

    def problem(self, problem):
        wait_for(problem, lambda: self.bus.adapter_property("Problem") == problem)

    def telegram(self):
        wait_for("a telegram", lambda: self.bus.adapter_property("TelegramsReceived"))


class Served(Port):
    """What the service finds."""

    def test_no_bytes(self):
        self.start()
        done = self.run_doctor("--json", "--wait", "0")
        self.assertEqual(json.loads(done.stdout)["verdict"], "no-bytes")
        self.assertIn("--wait", json.loads(done.stdout)["adapters"][0]["advice"])  # too soon
        one = self.expect("no-bytes", "bytes", "--wait", "16")
        self.assertIn("operator", one["advice"])
        self.assertEqual(self.steps["frames"]["evidence"], "not reached")
        # The test has the pseudo-terminal open, as whatever stands in for a meter must.
        self.assertEqual(self.steps["programs"]["verdict"], "ok")

    def hang(self, process):
        os.kill(process.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, process.pid, signal.SIGCONT)

    def test_the_service_hangs(self):
        self.start()
        self.hang(self.daemon)
        for arguments in ((), (str(self.pty.path),)):
            one = self.expect("no-answer", "service", *arguments)
            self.assertIn(f"process {self.daemon.pid}", self.steps["service"]["evidence"])
            self.assertNotIn("claim", one["advice"])
        done = subprocess.run([SMARTMETERCTL, "list", "--bus", self.bus.address],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("smartmeterd does not answer", done.stderr)

    def test_the_bus_hangs(self):
        self.start()
        self.hang(self.bus.process)
        one = self.examine()
        self.assertEqual((one["verdict"], one["step"]), ("no-bus", "bus"))
        self.assertEqual(self.steps["bus"]["evidence"], "the message bus does not answer")
        one = self.examine(str(self.pty.path))  # whether the service reads it nobody can say
        self.assertEqual((one["verdict"], one["step"]), ("no-bus", "bus"))
        done = subprocess.run([SMARTMETERCTL, "list", "--bus", self.bus.address],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertIn("the message bus does not answer", done.stderr)

    def test_nothing_but_zeros(self):
        self.start()
        self.pty.send(bytes(200))
        self.problem("break")
        one = self.expect("break", "line")
        self.assertIn("wiring", one["advice"])

    def test_bytes_without_a_frame(self):
        self.start()
        octets = bytes(octet for octet in os.urandom(20000) if octet not in b"\x68\x10\xe5")
        self.pty.send(octets)
        self.problem("no-frame")
        one = self.expect("no-frame", "frames")
        self.assertIn("2400-8E1", one["advice"])
        self.assertEqual(self.steps["bytes"]["verdict"], "ok")

    def test_line_settings_are_sought(self):
        self.start(link="auto", key=None)
        self.pty.send(bytes(octet for octet in os.urandom(3000) if octet not in b"\x68\x10\xe5~"))
        wait_for("bytes", lambda: self.bus.adapter_property("BytesReceived") > 2000)
        one = self.expect("no-frame", "frames", "--wait", "2")
        self.assertIn("smartmeterctl probe", one["advice"])
        self.pty.send(telegrams("kaifa-noe", 4)[0])
        self.problem("key-missing")
        self.expect("key-missing", "key")

    def test_damaged_telegrams(self):
        self.start()
        self.pty.send(telegrams("kaifa-noe", 8, "--flip", "1")[0])
        self.problem("bad-checksum")
        one = self.expect("bad-checksum", "checksum")
        self.assertIn("cable", one["advice"])
        self.assertRegex(self.steps["checksum"]["evidence"], r"\d+ telegrams? damaged")

    def test_no_key(self):
        self.start(key=None)
        self.pty.send(telegrams("kaifa-noe", 2)[0])
        self.problem("key-missing")
        one = self.expect("key-missing", "key")
        self.assertIn("sudo smartmeterctl key add", one["advice"])
        self.assertEqual(self.steps["checksum"]["verdict"], "ok")
        # The same, and a file that is not for this.
        path = self.root / "etc" / "smartmeterd" / "keys.d" / "house.toml"
        path.write_text("")
        path.chmod(0o644)
        one = self.expect("key-missing", "key")
        self.assertIn(f"chmod 640 '{path}'", self.steps["key"]["evidence"])
        self.assertIn("reload", one["advice"])

    def test_wrong_key(self):
        self.start(key=OTHER_KEY)
        self.pty.send(telegrams("kaifa-noe", 2)[0])
        self.problem("key-wrong")
        one = self.expect("key-wrong", "key")
        self.assertIn("letter", one["advice"])

    def test_wrong_authentication_key(self):
        self.start(link="hdlc", authentication="00" * 15 + "01")
        self.pty.send(telegrams("e450-pairs", 2)[0])
        self.problem("authentication-key-wrong")
        one = self.expect("authentication-key-wrong", "tag")
        self.assertIn("GAK", one["advice"])
        self.assertEqual(self.steps["key"]["verdict"], "ok")

    def test_counter_that_went_back(self):
        self.start()
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", "5000")[0])
        self.telegram()
        self.pty.send(telegrams("kaifa-noe", 4, "--counter", "1")[0])
        self.problem("replay")
        one = self.expect("replay", "tag")
        self.assertIn("accept_counter_reset", one["advice"])

    def test_less_protected(self):
        self.start(link="hdlc", authentication=TEST_AUTHENTICATION_KEY)
        self.pty.send(telegrams("e450-pairs", 1, "--counter", "5")[0])
        self.telegram()
        self.pty.send(telegrams("e450-pairs", 4, "--counter", "6", "--security", "encrypted")[0])
        self.problem("less-protected")
        one = self.expect("less-protected", "tag")
        self.assertIn("reload", one["advice"])

    def test_unknown_list(self):
        self.start(key=None)
        # A data-notification without codes, whose values no known list has.
        notification = bytes.fromhex("0F0000000100" "0203" "0600000001" "0600000002" "0600000003")
        self.pty.send(4 * mbus_frame(0x53, 0xFF, b"\x10\x01\x67" + notification))
        self.problem("list-unknown")
        one = self.expect("list-unknown", "decode")
        self.assertIn("report", one["advice"])

    def test_fine_in_clear(self):
        self.start(link="p1", key=None)
        self.pty.send(dutch_p1())
        self.telegram()
        self.expect("fine", None)
        self.assertIn("not encrypted", self.steps["key"]["evidence"])
        self.assertIn("power_net 545 W", self.steps["decode"]["evidence"])
        self.assertIn("none is configured", self.steps["broker"]["evidence"])

    def test_fine_without_a_tag(self):
        self.start()
        self.pty.send(telegrams("kaifa-noe", 2)[0])
        self.telegram()
        self.expect("fine", None)
        self.assertIn("the key fits", self.steps["key"]["evidence"])
        self.assertIn("not verified", self.steps["tag"]["evidence"])

    def test_fine_with_a_tag(self):
        self.start(link="hdlc", authentication=TEST_AUTHENTICATION_KEY)
        self.pty.send(telegrams("e450-pairs", 2)[0])
        self.telegram()
        self.expect("fine", None)
        self.assertEqual(self.steps["tag"]["evidence"], "every telegram is verified")

    def test_what_people_read(self):
        """Watches until the first telegram; one line a step."""
        self.bus.start()
        self.write_key()
        line = self.directory / "meter"
        meter = subprocess.Popen([METERSIM, "run", "kaifa-noe", "--link", str(line), "--interval",
                                  "1", "--baud", "115200"], stdout=subprocess.DEVNULL)
        self.addCleanup(stop, meter)
        wait_for("the simulated meter", line.exists)
        self.start_daemon(device=f"{line},link=mbus", mqtt=False)
        wait_for("the adapter on the bus", self.bus.adapter)
        done = self.run_doctor()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(re.findall(r"(?m)^(?:ok|! |--)  (\w+)", done.stdout), STEPS)
        self.assertIn("Verdict: all is well", done.stdout)
        self.assertNotIn("\033", done.stdout)

    def hold(self):
        """Another program on the port, as terminal programs hold it; its process."""
        code = ("import fcntl, os, sys, termios; fd = os.open(sys.argv[1], os.O_RDWR | "
                "os.O_NOCTTY); fcntl.flock(fd, fcntl.LOCK_EX); fcntl.ioctl(fd, termios.TIOCEXCL); "
                "print(flush=True); sys.stdin.read()")
        holder = subprocess.Popen([sys.executable, "-c", code, str(self.pty.path)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.stdin.close)
        self.addCleanup(stop, holder)
        holder.stdout.readline()
        return holder

    def test_port_held_by_another_program(self):
        holder = self.hold()
        name = pathlib.Path(f"/proc/{holder.pid}/comm").read_text().strip()
        self.bus.start()
        self.start_daemon(device=str(self.pty.path), mqtt=False)
        wait_for("the adapter on the bus", self.bus.adapter)
        self.problem("port-busy")
        one = self.expect("port-busy", "programs")
        self.assertIn(f"{name} (process {holder.pid})", self.steps["programs"]["evidence"])
        self.assertIn(f"kill {holder.pid}", one["advice"])

    def test_port_is_not_for_the_service(self):
        """Root may everything: then the service is started as somebody else."""
        self.bus.start()
        wrap = []
        if os.geteuid() == 0:
            self.directory.chmod(0o755)
            for directory in ("state", "keys.d"):
                os.chown(self.directory / directory, 65534, 65534)
            wrap = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chmod(self.pty.path, 0o600 if wrap else 0)
        self.start_daemon(device=str(self.pty.path), mqtt=False, wrap=wrap)
        wait_for("the adapter on the bus", self.bus.adapter)
        self.problem("no-access")
        one = self.expect("no-access", "permissions")
        self.assertIn("0600" if wrap else "0000", self.steps["permissions"]["evidence"])
        self.assertIn("smartmeterctl claim", one["advice"])

    def test_bus_that_does_not_let_everybody_ask(self):
        """A policy as dbus/org.smartmeterd1.conf describes it, for those who close the readings."""
        policy = self.bus.config.read_text().replace(
            "</policy>", '<deny send_destination="org.smartmeterd1"/></policy>')
        self.bus.config.write_text(policy)
        self.bus.start()
        self.start_daemon(device=str(self.pty.path), mqtt=False)
        self.wait_opened()
        wait_for("the name", lambda: "org.smartmeterd1" in str(self.bus.busctl("list")))
        one = self.examine(str(self.pty.path))
        self.assertEqual((one["verdict"], one["step"]), ("refused", "bus"))
        self.assertIn("root", one["advice"])

    def test_several_adapters(self):
        """Each with its own walk; the first one that is not well decides. One can be named."""
        self.start("--device", f"{self.directory / 'missing'}")
        wait_for("two adapters", lambda: len(self.bus.objects()) >= 2)
        self.pty.send(telegrams("kaifa-noe", 2)[0])
        wait_for("a meter", lambda: self.bus.meters() or None)
        done = self.run_doctor("--json")
        said = json.loads(done.stdout)
        self.assertEqual(done.returncode, 1)
        self.assertEqual({pathlib.Path(one["adapter"]).name: one["verdict"]
                          for one in said["adapters"]},
                         {"tty": "fine", "missing": "adapter-missing"})
        self.assertEqual(said["verdict"], "adapter-missing")
        self.assertEqual(self.expect("fine", None, "tty")["adapter"], str(self.pty.path))

    def test_pulled_out(self):
        self.start()
        self.pty.unplug()
        wait_for("the adapter to wait", lambda: self.bus.adapter_property("State") == "waiting")
        self.expect("adapter-missing", "adapter")

    def test_nobody_listens_behind_the_network(self):
        self.bus.start()
        port = free_port()
        self.start_daemon(device=f"tcp://127.0.0.1:{port}", mqtt=False)
        wait_for("the adapter on the bus", self.bus.adapter)
        self.expect("no-connection", "bytes")
        self.assertEqual(self.steps["permissions"]["verdict"], "skipped")


class Brokers(Port):
    def publish(self, url):
        self.bus.start()
        self.start_daemon("--mqtt", url, device=f"{self.pty.path},link=p1", mqtt=False)
        self.wait_opened()
        wait_for("the adapter on the bus", self.bus.adapter)
        self.pty.send(dutch_p1())
        self.telegram()

    def test_online(self):
        self.broker.start()
        self.publish(self.broker.url)
        self.expect("fine", None)
        self.assertEqual(self.steps["broker"]["evidence"],
                         f"127.0.0.1:{self.broker.port}, online")

    def test_nobody_listens(self):
        self.publish(self.broker.url)
        one = self.expect("broker-refused", "broker")
        self.assertIn(str(self.broker.port), one["advice"])

    def test_not_found(self):
        self.publish("mqtt://broker.invalid")  # RFC 6761: no name ends in it
        self.expect("broker-unreachable", "broker")

    def test_not_authorised(self):
        self.broker.config.write_text(
            f"listener {self.broker.port} 127.0.0.1\nallow_anonymous false\npersistence false\n")
        self.broker.start()
        self.publish(self.broker.url)
        one = self.expect("broker-unauthorised", "broker")
        self.assertIn("password_file", one["advice"])


class Usage(unittest.TestCase):
    def test_wrong(self):
        for arguments in (["a", "b"], ["--wait", "x"], ["--wait", "-1"], ["--nix"]):
            done = subprocess.run([SMARTMETERCTL, "doctor", *arguments], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 2, arguments)


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    tap.main()
