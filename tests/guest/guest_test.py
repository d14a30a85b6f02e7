#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plugging adapters into a machine that has nothing but Debian and the project: kernel, drivers,
udev, systemd, bus and broker are the real ones, and no reading passes by them.

The cases run in the order in which they are written: one boot serves all but the last. One of them
alone needs those that it builds on: FirstPage Service.test_quick_replugs
"""

import base64
import os
import pathlib
import re
import sys
import tempfile
import time
import unittest

import world
from world import METER_LINK, UNIT
from harness import TEST_KEY
from simulated import crc16_arc

import tap

ON_CI = os.environ.get("CI") == "true"
REPLUGS = int(os.environ.get("SMARTMETER_GUEST_REPLUGS", "10"))
# How long a quick replug leaves the adapter plugged: before, while and after the port is opened.
PLUGGED_S = (0.0, 0.1, 0.3, 0.8)
EXPORT = "smartmeterd-export.socket"
EXPORT_RECEIVED = "smartmeterd-export-received.socket"

HOUSE = world.Meter("kaifa-noe")  # encrypted
ATTIC = world.Meter("dsmr-5")
EYE = world.Meter("kamstrup")


def setUpModule():
    world.Case.guests = world.Installed()
    unittest.addModuleCleanup(world.Case.guests.close)
    guest = world.Case.guests.boot()
    guest.shell(world.readme_commands("systemd-sysusers"))
    guest.write("/etc/smartmeterd/smartmeterd.toml", b"""\
[gateway]
instance = "guest"
[broker.home]
url = "mqtt://127.0.0.1"
""")


def load_tests(_loader, _tests, _pattern):
    return world.in_order(globals())


class FirstPage(world.Adapters):
    """What README's first page says, on a machine that has never seen an adapter."""

    def test_a_known_product_needs_no_claim(self):
        """As soon as it is plugged in after README's installation, group and all."""
        self.addCleanup(self.guest.shell, f"systemctl stop {UNIT}")
        self.assert_active("inactive")
        self.plug_chip("kamstrup-eye", "cp210x", "/dev/ttyUSB0")
        self.assertEqual(self.wait_opened("/dev/smartmeter_ir"), "/dev/ttyUSB0")
        self.assertEqual(self.guest.shell("stat -c %G /dev/ttyUSB0").strip(), "smartmeterd")
        self.read_through(self.send_chip, EYE)

    def test_an_adapter_that_nobody_claimed_is_left_alone(self):
        self.house.plug()
        self.wait("[ -c /dev/ttyUSB0 ] && udevadm settle")
        self.assertEqual(self.guest.shell("stat -c %G /dev/ttyUSB0").strip(), "dialout")
        self.guest.shell("! ls /dev/smartmeter*")
        command = "smartmeterctl claim /dev/ttyUSB0 --kind "
        self.wait(f"journalctl -b -u smartmeter-unclaimed@ttyUSB0 | grep -F '{command}'")
        self.assertIn(command, self.guest.attempt("smartmeterctl claim")[1])
        self.assert_active("inactive")
        self.assertEqual(self.doctor(), ("adapter", "unclaimed"))

    def test_plug_claim_key_reading(self):
        self.house.plug()
        self.wait("[ -c /dev/ttyUSB0 ] && udevadm settle")
        self.claim()
        self.assertEqual(self.wait_opened(), "/dev/ttyUSB0")
        self.add_key()
        self.read_through(self.house.send, HOUSE)
        self.assertIn(HOUSE.id, self.guest.shell("smartmeterctl list"))


class Service(world.Adapters):
    """The service with the first adapter plugged in, which FirstPage claimed and gave its key."""

    def setUp(self):
        super().setUp()
        self.house.plug()
        self.wait_opened()

    def adapter_path(self):
        """The first adapter's object: it stays while the adapter is away."""
        return next(path for path in self.bus.objects() if "/adapter/" in path and "house1" in path)

    def wait_state(self, state):
        self.wait(f"busctl get-property org.smartmeterd1 {self.adapter_path()} "
                  f"org.smartmeterd1.Adapter State | grep {state}")

    def test_names_and_owner_of_the_port(self):
        self.guest.shell("udevadm settle")
        for link in ("smartmeter/by-id/mbus-*_HOUSE1-if00-port0", "smartmeter/by-path/mbus-pci-*",
                     "serial/by-id/*_HOUSE1-if00-port0"):
            self.assertEqual(self.guest.shell(f"readlink -e /dev/{link}").strip(), "/dev/ttyUSB0")
        self.assertEqual(self.guest.shell("stat -c '%a %U %G' /dev/ttyUSB0").strip(),
                         "660 root smartmeterd")
        self.guest.shell("udevadm info /dev/ttyUSB0 | grep -x 'E: ID_MM_PORT_IGNORE=1'")

    def test_sandbox_ring_port_and_pipe(self):
        """Under the shipped unit: nothing of it is switched off in the guest."""
        process = self.process()
        status = self.guest.shell(f"cat /proc/{process}/status")
        for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000",
                     "CapBnd:\t0000000000000000"):
            self.assertIn(line, status)
        user = self.guest.shell("id -u smartmeterd").strip()
        self.assertRegex(status, rf"(?m)^Uid:(\t{user}){{4}}$")
        # Its root: ProtectSystem=strict, NoExecPaths=/.
        self.guest.shell(f"grep ' / / ro,nosuid,noexec ' /proc/{process}/mountinfo")
        self.assertEqual(
            self.guest.shell(f"systemctl show -P DevicePolicy {UNIT}").strip(), "closed")
        self.assertIn("io_uring", self.bus.property("/org/smartmeterd1", "Manager", "Features"))
        opened = self.guest.shell(f"readlink /proc/{process}/fd/*").split("\n")
        self.assertIn("anon_inode:[io_uring]", opened)
        self.assertIn("/dev/ttyUSB0", opened)
        self.assertNotIn("anon_inode:[eventpoll]", opened)
        # Who wants the adapter's bytes holds the other end of a pipe.
        self.addCleanup(self.guest.attempt, "systemctl stop listener")
        self.guest.shell("systemd-run -q --unit=listener "
                         f"smartmeterctl key test --next {METER_LINK}")
        pipe = self.wait("client=$(systemctl show -P MainPID listener) && "
                         "readlink /proc/$client/fd/* | grep pipe: | "
                         f"grep -xFf - <(readlink /proc/{process}/fd/*)").strip()
        self.read_through(self.house.send, HOUSE)
        self.wait("journalctl -b -u listener | grep fits")
        # It has gone: the next bytes tell.
        self.read_through(self.house.send, HOUSE)
        self.wait(f"! readlink /proc/{process}/fd/* | grep -xF '{pipe}'")

    def test_unplug_frees_the_port_and_replug_resumes(self):
        before = self.read_through(self.house.send, HOUSE)
        process = self.process()
        self.house.unplug()
        self.wait("! ls /dev/ttyUSB* /dev/smartmeter*")
        self.wait(f"! readlink /proc/{process}/fd/* | grep ttyUSB")
        self.wait_state("waiting")
        self.house.plug()
        self.assertEqual(self.wait_opened(), "/dev/ttyUSB0")
        self.assertEqual(self.read_through(self.house.send, HOUSE), before)
        self.assertEqual(self.process(), process)

    def test_another_port_number(self):
        before = self.read_through(self.house.send, HOUSE)
        process = self.process()
        self.house.unplug()
        self.wait("! ls /dev/ttyUSB*")
        self.attic.plug()
        self.wait("[ -c /dev/ttyUSB0 ]")
        self.house.plug()
        self.assertEqual(self.wait_opened(), "/dev/ttyUSB1")
        self.assertEqual(self.read_through(self.house.send, HOUSE), before)
        self.assertEqual(self.process(), process)

    def test_a_second_adapter(self):
        process = self.process()
        self.attic.plug()
        self.wait("[ -c /dev/ttyUSB1 ] && udevadm settle")
        self.guest.shell("smartmeterctl claim ttyUSB1 --kind p1 --name attic")
        self.wait_opened("/dev/smartmeter/by-name/attic")
        house = self.read_through(self.house.send, HOUSE)
        self.assertNotEqual(self.read_through(self.attic.send, ATTIC), house)
        self.assertEqual(self.read_through(self.house.send, HOUSE), house)
        self.assertEqual(self.process(), process)
        listed = self.guest.shell("smartmeterctl list")
        for text in ("/dev/ttyUSB0", "/dev/ttyUSB1", HOUSE.id, ATTIC.id):
            self.assertIn(text, listed)

    def test_quick_replugs(self):
        process = self.process()
        for count in range(REPLUGS):
            self.house.unplug()
            self.house.plug()
            time.sleep(PLUGGED_S[count % len(PLUGGED_S)])
        self.guest.shell("udevadm settle")
        self.wait_opened()
        self.read_through(self.house.send, HOUSE)
        self.assertEqual(self.process(), process)
        self.guest.shell(f"! readlink /proc/{process}/fd/* | grep deleted")

    def test_key_files_are_for_the_service_alone(self):
        path = "/etc/smartmeterd/keys.d/house.toml"
        as_user = "setpriv --clear-groups --reuid={0} --regid={0} cat "
        self.guest.shell(as_user.format("smartmeterd") + path)
        for user in ("daemon", "messagebus"):
            self.assertIn("Permission denied",
                          self.guest.attempt(as_user.format(user) + path)[1])
        told = f"{{ journalctl -b; busctl call org.smartmeterd1 /org/smartmeterd1 " \
               f"org.freedesktop.DBus.ObjectManager GetManagedObjects; " \
               f"smartmeterctl key list; cat /proc/{self.process()}/{{cmdline,environ}}; }}"
        self.guest.write("/run/keys", TEST_KEY.encode())
        self.guest.shell(f"! {told} | tr -d '\\0' | grep -qiF -f /run/keys; "
                         "status=$?; rm /run/keys; exit $status")

    def test_doctor(self):
        """What it learns from the real udev, systemd and journal."""
        self.read_through(self.house.send, HOUSE)
        self.assertEqual(self.doctor(), ("", "fine"))
        self.guest.shell("chgrp dialout /dev/ttyUSB0")
        self.assertEqual(self.doctor(), ("permissions", "no-access"))
        self.guest.shell("udevadm trigger --action=change --settle /dev/ttyUSB0")
        with world.talking(self.house.send, HOUSE):
            self.guest.shell(f"smartmeterctl doctor {METER_LINK}")
        self.guest.shell(f"systemctl stop {UNIT}")
        self.assertEqual(self.doctor(), ("service", "not-running"))
        self.guest.shell("mkdir -p /etc/smartmeterd/conf.d && "
                         "echo '[gatway]' > /etc/smartmeterd/conf.d/mistake.toml")
        self.guest.attempt(f"systemctl start {UNIT}")
        self.assertEqual(self.doctor(), ("service", "service-failed"))
        self.assertIn("mistake.toml:1:", self.evidence["service"])
        self.guest.shell(f"rm /etc/smartmeterd/conf.d/mistake.toml && systemctl restart {UNIT}")
        self.wait_opened()

    def test_service_stopped_and_started(self):
        self.read_through(self.house.send, HOUSE)
        self.guest.shell(f"systemctl stop {UNIT}")
        self.wait_retained("gateway/guest/status", "offline")
        self.wait_retained(f"{HOUSE.id}/availability", "offline")
        self.guest.shell(f"systemctl start {UNIT}")
        self.wait_opened()
        self.wait_retained("gateway/guest/status", "online")
        self.read_through(self.house.send, HOUSE)

    def test_readings_can_be_closed_to_others(self):
        """By the example's own words, on a real system bus."""
        self.guest.shell(f"systemctl start {UNIT}")
        read = ("busctl get-property org.smartmeterd1 /org/smartmeterd1 org.smartmeterd1.Manager "
                "Version")
        self.wait(read)
        as_nobody = f"runuser -u nobody -- {read} 2>&1"
        self.guest.shell(as_nobody)
        closed = "org.smartmeterd1-closed.conf"
        example = (pathlib.Path(__file__).parents[2] / "dbus" / closed).read_bytes()
        self.addCleanup(self.guest.shell,
                        f"rm -f /etc/dbus-1/system.d/{closed} && systemctl reload dbus")
        self.guest.shell("mkdir -p /etc/dbus-1/system.d")
        self.guest.write(f"/etc/dbus-1/system.d/{closed}", example)
        self.guest.shell("systemctl reload dbus")
        status, said = self.guest.attempt(as_nobody)
        self.assertNotEqual(status, 0)
        self.assertIn("Access denied", said)
        self.guest.shell(read)
        self.guest.shell(f"runuser -u nobody -G smartmeterd -- {read}")
        self.guest.shell(f"rm /etc/dbus-1/system.d/{closed} && systemctl reload dbus")
        self.guest.shell(as_nobody)

    def test_plugging_starts_a_service_that_was_stopped(self):
        self.guest.shell(f"systemctl stop {UNIT}")
        self.house.unplug()
        self.wait("! ls /dev/ttyUSB*")
        self.house.plug()
        self.wait_opened()
        self.assert_active()
        self.read_through(self.house.send, HOUSE)

    def test_broker_restarted(self):
        self.read_through(self.house.send, HOUSE)
        # It keeps nothing: what it knows afterwards is what it was told again.
        self.guest.shell("systemctl restart mosquitto")
        self.wait_retained("gateway/guest/status", "online")
        self.wait_retained(f"{HOUSE.id}/availability", "online")
        self.wait(f"{world.retained(f'{HOUSE.id}/state')} | grep power_import")
        self.read_through(self.house.send, HOUSE)

    def start_exports(self, *sockets):
        """By the lines of the page."""
        commands = world.page_commands("daemon/doc/p1-export.md", f"systemctl enable {EXPORT}")
        # The next case finds the service as it was, whatever becomes of this one.
        self.addCleanup(self.guest.shell, f"systemctl disable -q --now {' '.join(sockets)}; "
                                          f"systemctl restart {UNIT}")
        self.guest.shell(commands.replace(EXPORT, " ".join(sockets)))
        self.wait_opened()

    def connect(self, port):
        """A client; the file with what it is told."""
        client, told = f"client-{port}", f"/run/client-{port}"
        self.guest.shell(f"systemd-run -q --unit={client} bash -c "
                         f"'exec cat </dev/tcp/127.0.0.1/{port} >{told}'")
        self.addCleanup(self.guest.shell, f"rm {told}")
        self.addCleanup(self.guest.attempt, f"systemctl stop {client}")
        # It is a cat only once it is connected.
        self.wait(f"grep -x cat /proc/$(systemctl show -P MainPID {client})/comm")
        return told

    def wait_told(self, told, condition):
        """All that a client was told, once the condition holds."""
        return base64.b64decode(self.wait(f"{condition} && base64 -w 0 {told}"))

    def wait_telegram(self, told, power):
        """The last telegram of DSMR 5 that a client was told, once one has the power."""
        line = f"1-0:1.7.0({power / 1000:06.3f}*kW)"
        octets = self.wait_told(
            told, f"grep -qF '{line}' {told} && tail -n 1 {told} | grep -q '^!'")
        content, crc = re.findall(rb"(/[^!]*!)(....)\r\n", octets)[-1]
        self.assertTrue(content.startswith(b"/SMD5\\2smartmeterd\r\n\r\n"), content)
        self.assertIn(f"\r\n{line}\r\n".encode(), content)
        self.assertEqual(crc.decode(), f"{crc16_arc(content):04X}")

    def test_telegrams_on_the_network(self):
        """Off until somebody starts their sockets; the service is in its shipped sandbox."""
        for unit, port in ((EXPORT, 1502), (EXPORT_RECEIVED, 1503)):
            self.assertEqual(
                self.guest.attempt(f"systemctl is-enabled {unit}")[1].strip(), "disabled")
            self.guest.shell(f"! : </dev/tcp/127.0.0.1/{port}")
        self.start_exports(EXPORT, EXPORT_RECEIVED)
        self.assertEqual(self.guest.shell(f"systemctl show -P SocketBindDeny {UNIT}").strip(),
                         "any")
        self.assertEqual(self.guest.shell(f"systemctl show -P DropInPaths {UNIT}").strip(), "")
        self.guest.shell(f"systemctl stop {UNIT}")
        synthetic = self.connect(1502)  # starts it
        self.wait_opened()
        self.read_through(self.house.send, HOUSE)
        received = self.connect(1503)
        octets, power = HOUSE.next()
        self.house.send(octets)
        self.assertEqual(
            self.wait_told(received, f"[ $(stat -c %s {received}) -ge {len(octets)} ]"), octets)
        self.wait_telegram(synthetic, power)

    def test_an_export_at_an_address_of_no_socket_is_refused(self):
        """Until the socket has the address, as the journal says; meters are read all the same."""
        table = "/etc/smartmeterd/conf.d/export.toml"
        drop_ins = f"/run/systemd/system/{UNIT}.d", f"/run/systemd/system/{EXPORT}.d"
        self.guest.shell(f"mkdir -p /etc/smartmeterd/conf.d {' '.join(drop_ins)}")
        self.addCleanup(self.guest.shell, f"rm -r {table} {' '.join(drop_ins)}; "
                                          f"systemctl daemon-reload && systemctl restart {UNIT}")
        if "+BPF_FRAMEWORK" not in self.guest.shell("systemctl --version"):
            # Debian 12's systemd ignores SocketBindDeny=: another part of it refuses instead.
            self.guest.write(f"{drop_ins[0]}/refuse.conf", b"[Service]\nSystemCallFilter=~listen\n")
            self.guest.shell("systemctl daemon-reload")
        self.guest.write(table, b'[export.x]\nlisten = "127.0.0.1:4711"\n')
        self.guest.shell(f"systemctl restart {UNIT}")
        self.wait_opened()
        said = self.wait(f"journalctl -b -u {UNIT} | "
                         "grep -F 'export x: cannot listen on 127.0.0.1:4711: '")
        for advice in (EXPORT, "ListenStream=", "SocketBindAllow=tcp:4711"):
            self.assertIn(advice, said)
        self.guest.shell("! : </dev/tcp/127.0.0.1/4711")
        self.read_through(self.house.send, HOUSE)
        self.guest.write(f"{drop_ins[1]}/address.conf",
                         b"[Socket]\nListenStream=127.0.0.1:4711\n")
        self.guest.shell("systemctl daemon-reload")
        self.start_exports(EXPORT)
        self.read_through(self.house.send, HOUSE)
        told = self.connect(4711)
        octets, power = HOUSE.next()
        self.house.send(octets)
        self.wait_telegram(told, power)


class Chips(world.Adapters):
    """Chips that are not in qemu, claimed; the key is FirstPage's."""

    def read_from(self, chip, driver, port):
        self.plug_chip(chip, driver, port)
        self.guest.shell(f"smartmeterctl claim {port} --kind mbus")
        self.assertEqual(self.wait_opened(), port)
        self.read_through(self.send_chip, HOUSE)

    def test_cp210x(self):
        self.read_from("cp210x", "cp210x", "/dev/ttyUSB0")

    def test_ch341(self):
        self.read_from("ch341", "ch341", "/dev/ttyUSB0")

    def test_pl2303(self):
        self.read_from("pl2303", "pl2303", "/dev/ttyUSB0")

    def test_cdc_acm(self):
        self.read_from("cdc-acm", "cdc_acm", "/dev/ttyACM0")


class Coldplug(world.Adapters):
    """The machine is started again with its adapter plugged in."""

    def test_adapter_that_is_there_at_boot(self):
        self.guests.reboot(plugged=[self.house.serial])
        self.house = self.guest.adapters[0]
        self.wait_opened()
        self.assertEqual(self.guest.shell(f"systemctl show -P NRestarts {UNIT}").strip(), "0")
        self.read_through(self.house.send, HOUSE)
        self.assertEqual(self.guest.shell("systemctl --failed --no-legend").strip(), "")


INSTALL_PAGE = "daemon/doc/install.md"


class Prefix(world.Adapters):
    """Below /usr/local, where meson puts what of the bus is not said otherwise."""

    def test_the_bus_needs_a_copy_of_the_policy(self):
        policy = "system.d/org.smartmeterd1.conf"
        service = "system-services/org.smartmeterd1.service"
        here, there = "/usr/share/dbus-1", "/usr/local/share/dbus-1"
        self.guest.shell(f"mkdir -p {there}/system.d {there}/system-services /etc/dbus-1/system.d")
        self.addCleanup(self.guest.shell,
                        f"mv {there}/{policy} {here}/{policy}; "
                        f"mv {there}/{service} {here}/{service}; rm -f /etc/dbus-1/{policy}; "
                        f"systemctl reload dbus; systemctl restart {UNIT}")
        self.guest.shell(f"mv {here}/{policy} {there}/{policy} && "
                         f"mv {here}/{service} {there}/{service} && systemctl reload dbus && "
                         f"systemctl restart {UNIT}")
        self.guest.shell("! busctl list --acquired | grep org.smartmeterd1")
        self.guest.shell(world.page_commands(INSTALL_PAGE, "cp /usr/local/share/dbus-1"))
        self.house.plug()
        self.wait_opened()
        self.read_through(self.house.send, HOUSE)
        self.guest.shell(f"systemctl stop {UNIT} && "
                         "busctl call org.smartmeterd1 /org/smartmeterd1 "
                         "org.freedesktop.DBus.Peer Ping")


class Uninstalled(world.Adapters):
    """By the page's lines, while the service reads. The guest has no ninja: it removes what meson
    wrote down, as ninja does.
    """

    UNINSTALL = "ninja -C build uninstall"

    def test_meson_has_written_down_all_that_it_installed(self):
        """And takes it away on the machine that builds."""
        with tempfile.TemporaryDirectory() as directory:
            tree = pathlib.Path(directory) / "tree"
            world.debian_root.run(world.MESON, "install", "-C", world.BUILD, "--no-rebuild",
                                  "--destdir", str(tree))
            self.assertTrue((tree / "usr/sbin/smartmeterd").exists())
            world.debian_root.run(*self.UNINSTALL.replace("build", world.BUILD).split())
            self.assertEqual(os.listdir(directory), [])

    def test_nothing_is_left_but_claims_keys_and_history(self):
        self.house.plug()
        self.wait_opened()
        files = "".join(f"{path}\n" for path in self.guests.files)
        self.guest.write("/run/installed", files.encode())
        commands = world.page_commands(INSTALL_PAGE, self.UNINSTALL)
        self.assertIn(self.UNINSTALL, commands)
        self.guest.shell(commands.replace(
            self.UNINSTALL, "while read -r path; do rm -d $path; done </run/installed"))
        self.guest.shell("udevadm settle && ! ls -d /dev/smartmeter* && ! pgrep smartmeterd")
        self.assertEqual(self.guest.shell("stat -c %G /dev/ttyUSB0").strip(), "dialout")
        self.assertIn("not provided by any .service files", self.guest.attempt(
            "busctl call org.smartmeterd1 /org/smartmeterd1 org.freedesktop.DBus.Peer Ping")[1])
        self.assertEqual(self.guest.shell("systemctl --failed --no-legend").strip(), "")
        self.assertEqual(self.left(), [
            "/etc/smartmeterd", "/etc/smartmeterd/smartmeterd.toml",
            "/etc/udev/rules.d/60-smartmeter-local.rules", "/var/lib/smartmeterd"])

    def test_nothing_is_left_at_all(self):
        self.guest.shell(world.page_commands(INSTALL_PAGE, "rm -rf /etc"))
        self.assertEqual(self.left(), [])
        self.guest.shell("! getent passwd smartmeterd && ! getent group smartmeterd")
        self.house.plug()
        self.wait("[ -c /dev/ttyUSB0 ] && udevadm settle")
        self.assertEqual(self.guest.shell("stat -c %G /dev/ttyUSB0").strip(), "dialout")

    def left(self):
        """What has the project's name."""
        return sorted(self.guest.shell("find / -xdev -name '*smartmeter*'").split())


if __name__ == "__main__":
    missing = world.no_guest()
    if os.environ["PREFIX"] != "/usr":
        missing = "configured without --prefix=/usr, where the guest looks for the project"
    if missing and not ON_CI:
        print(f"1..0 # SKIP {missing}")
        sys.exit(0)
    tap.main()
