#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Telegrams for whoever connects: what real clients of the real daemon get, and what happens to
those that do not behave.

Each case runs on both back ends of the loop (SMARTMETERD_IO names one).
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import (LIMIT_S, OTHER_KEY, SMARTMETERCTL, TEST_AUTHENTICATION_KEY, Pty, World,
                     free_port, telegrams, wait_for)
from simulated import dutch_p1

IO = os.environ.get("SMARTMETERD_IO", "auto")


class Client:
    """Everything that a connection gives."""

    def __init__(self, test, address, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else \
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        test.addCleanup(self.socket.close)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(address)
        self.octets = b""

    def read(self, size):
        """The next octets, exactly so many."""
        while len(self.octets) < size:
            more = self.socket.recv(65536)
            if not more:
                raise AssertionError(f"closed after {len(self.octets)} octets: {self.octets!r}")
            self.octets += more
        taken, self.octets = self.octets[:size], self.octets[size:]
        return taken

    def read_telegram(self):
        """A P1 telegram, from / to the line's end behind its CRC."""
        while True:
            end = self.octets.find(b"\r\n!")
            if end >= 0 and len(self.octets) >= end + 9:
                return self.read(end + 9)
            more = self.socket.recv(65536)
            if not more:
                raise AssertionError(f"closed after {self.octets!r}")
            self.octets += more

    def is_closed(self):
        """Reads to the end; true once there is one."""
        try:
            while True:
                self.socket.settimeout(0.01)
                if not self.socket.recv(1 << 20):
                    return True
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True


def decoded(octets, *options):
    """What our own decoder makes of them."""
    done = subprocess.run([SMARTMETERCTL, "decode", "--zone", "Europe/Amsterdam", *options, "-"],
                          input=octets, capture_output=True, check=True, timeout=LIMIT_S)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Export(World):
    def setUp(self):
        super().setUp()
        self.port = free_port()

    def begin(self, listen=None, options="", device=None, wrap=(), more=()):
        listen = listen or f"127.0.0.1:{self.port}"
        self.start_daemon("--io", IO, *(["--export", listen + options] if listen != "none" else []),
                          *more, device=device, mqtt=False, bus=False, wrap=wrap)
        self.wait_opened()
        if listen != "none":
            wait_for("the export", lambda: "listening on" in self.log_text())

    def connect(self, address=None, **options):
        """Once the daemon has taken the client."""
        count = self.log_text().count(" connected")
        client = Client(self, address or ("127.0.0.1", self.port), **options)
        wait_for("the client", lambda: self.log_text().count(" connected") > count)
        return client

    def feed(self, octets):
        """To the pty, no faster than it is read."""
        self.pty.send(octets)


class Received(Export):
    """The octets of the meter, and nothing but whole and verified telegrams."""

    def exported(self, family, count=3, *options, key=None, authentication=None):
        octets, said = telegrams(family, count, *options)
        if key is not False:
            self.write_key(*([key] if key else []), authentication=authentication)
        self.begin(options=",format=received")
        client = self.connect()
        self.feed(octets)
        self.assertEqual(client.read(len(octets)), octets)
        return said

    def test_p1(self):
        self.exported("dsmr-5")

    def test_one_encrypted_frame(self):
        self.exported("kamstrup-denmark", authentication=TEST_AUTHENTICATION_KEY)

    def test_segments_of_mbus(self):
        self.exported("kaifa-noe")

    def test_blocks_of_hdlc(self):
        self.exported("e450")

    def test_sml(self):
        self.exported("sml-emh")

    def test_a_damaged_telegram_is_left_out(self):
        first, _ = telegrams("dsmr-5", 1)
        damaged = first.replace(b"1-0:1.8.1(", b"1-0:1.8.1)", 1)
        self.assertNotEqual(first, damaged)
        self.begin(options=",format=received")
        client = self.connect()
        self.feed(first + damaged + first)
        self.assertEqual(client.read(2 * len(first)), 2 * first)
        self.assertFalse(client.is_closed())
        self.assertEqual(client.octets, b"")

    def test_what_cannot_be_opened_is_left_out(self):
        octets, _ = telegrams("kamstrup-denmark", 2)
        self.write_key(OTHER_KEY)
        self.begin(options=",format=received")
        client = self.connect()
        self.feed(octets)
        wait_for("the refusal", lambda: "key-wrong" in self.log_text() or
                 "no configured key" in self.log_text())
        self.assertFalse(client.is_closed())
        self.assertEqual(client.octets, b"")

    def test_another_meter_and_another_adapter_are_left_out(self):
        octets, said = telegrams("dsmr-5", 1)
        other, third = free_port(), free_port()
        self.begin(options=f",format=received,meter={said[0]['meter']}",
                   more=("--export", f"127.0.0.1:{other},format=received,meter=nobody",
                         "--export", f"127.0.0.1:{third},format=received,adapter=nowhere"))
        mine = self.connect()
        others = [self.connect(("127.0.0.1", port)) for port in (other, third)]
        self.feed(octets)
        self.assertEqual(mine.read(len(octets)), octets)
        for client in others:
            self.assertFalse(client.is_closed())
            self.assertEqual(client.octets, b"")


class Synthetic(Export):
    """A telegram of DSMR 5 from meters that speak something else."""

    def converted(self, family, *options, authentication=None):
        octets, said = telegrams(family, 1, *options)
        self.write_key(authentication=authentication)
        self.begin()
        client = self.connect()
        self.feed(octets)
        telegram = client.read_telegram()
        self.assertTrue(telegram.startswith(b"/SMD5\\2smartmeterd\r\n\r\n1-3:0.2.8(50)\r\n"))
        [read] = decoded(telegram)
        self.assertEqual(read["meter"], said[0]["meter"])
        return said[0]["readings"], {name: value["value"] if isinstance(value, dict) else value
                                     for name, value in read["readings"].items()}, telegram

    def same(self, said, read, *names):
        for name in names:
            self.assertAlmostEqual(float(read[name]), float(said[name]), 6, name)

    def test_kaifa(self):
        said, read, _ = self.converted("kaifa-noe")
        self.same(said, read, "energy_import", "energy_export", "power_import", "power_export",
                  "voltage_l1", "voltage_l2", "voltage_l3")

    def test_e450(self):
        said, read, _ = self.converted("e450")
        self.same(said, read, "energy_import", "energy_export", "power_import", "power_export",
                  "voltage_l1", "current_l1")

    def test_sml(self):
        said, read, _ = self.converted("sml-iskra-locked")
        self.same(said, read, "energy_import")

    def test_p1_with_gas_and_water(self):
        self.begin()
        client = self.connect()
        self.feed(dutch_p1())
        telegram = client.read_telegram()
        self.assertTrue(telegram.startswith(b"/SMD5\\2smartmeterd\r\n"))
        for line in (b"1-0:1.8.1(001234.567*kWh)", b"1-0:1.8.2(000002.000*kWh)",
                     b"1-0:1.7.0(00.545*kW)", b"0-0:96.14.0(0002)",
                     b"0-1:24.1.0(003)", b"0-1:24.2.1(261120115500W)(00123.456*m3)",
                     b"0-2:24.1.0(007)", b"0-2:24.2.1(261120110000W)(00042.001*m3)",
                     b"0-0:1.0.0(261120120005W)"):
            self.assertIn(b"\r\n" + line + b"\r\n", telegram)

    def test_a_new_client_is_not_kept_waiting(self):
        self.begin()
        first = self.connect()
        self.feed(dutch_p1())
        telegram = first.read_telegram()
        self.assertEqual(self.connect().read_telegram(), telegram)

    def test_the_first_of_two_meters(self):
        second = self.directory / "second"
        second.mkdir()
        other = Pty(second)
        self.addCleanup(other.unplug)
        self.begin(more=("--device", f"{other.path},link=p1"))
        wait_for("both ports", lambda: self.log_text().count(" opened") == 2)
        client = self.connect()
        self.feed(dutch_p1(electricity_kwh="000001.000"))
        self.assertIn(b"1-0:1.8.1(000001.000*kWh)", client.read_telegram())
        octets, _ = telegrams("sweden-h1", 1)
        other.send(octets)
        wait_for("the notice", lambda: "shows meter E0044007123456789 only" in self.log_text())
        self.feed(dutch_p1(electricity_kwh="000002.000"))
        self.assertIn(b"1-0:1.8.1(000002.000*kWh)", client.read_telegram())


class Clients(Export):
    """Any number of them, and each one's conduct is its own affair."""

    telegram = dutch_p1()

    def send_and_read(self, *clients):
        self.feed(self.telegram)
        for client in clients:
            self.assertEqual(client.read(len(self.telegram)), self.telegram)

    def test_several(self):
        self.begin(options=",format=received")
        clients = [self.connect() for _ in range(20)]
        for _ in range(3):
            self.send_and_read(*clients)

    def test_as_many_as_there_may_be(self):
        self.begin(options=",format=received")
        clients = [self.connect() for _ in range(64)]
        one_more = Client(self, ("127.0.0.1", self.port))
        wait_for("its refusal", one_more.is_closed)
        self.send_and_read(*clients)
        self.assertIn("64 clients are connected", self.log_text())
        clients.pop().socket.close()
        wait_for("its end", lambda: "has closed the connection" in self.log_text())
        clients.append(self.connect())
        self.send_and_read(*clients)

    def test_ipv6(self):
        self.begin(f"[::1]:{self.port}", ",format=received")
        self.send_and_read(self.connect(("::1", self.port)))

    def test_localhost_is_both(self):
        self.begin(f"localhost:{self.port}", ",format=received")
        self.send_and_read(self.connect(("::1", self.port)), self.connect())

    def test_unix_socket(self):
        path = self.directory / "p1"
        self.begin(f"unix:{path}", ",format=received")
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)
        self.send_and_read(self.connect(str(path)))
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(10)
        self.assertFalse(path.exists())

    def test_unix_socket_that_a_killed_daemon_left(self):
        path = self.directory / "p1"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        self.begin(f"unix:{path}", ",format=received")
        self.send_and_read(self.connect(str(path)))

    def test_a_slow_one_is_dropped_and_nobody_else_notices(self):
        self.begin(options=",format=received")
        slow = self.connect(receive_buffer=4096)
        good = self.connect()
        for count in range(1, 2000):
            self.send_and_read(good)
            if "does not keep up" in self.log_text():
                break
        self.assertEqual(self.log_text().count("is dropped (not said again)"), 1)
        for _ in range(3):
            self.send_and_read(good)
        wait_for("its end", slow.is_closed)
        print(f"# the slow client was dropped after {count} telegrams of {len(self.telegram)} "
              "octets")

    def test_one_that_floods_us(self):
        self.begin(options=",format=received")
        good, flood = self.connect(), self.connect()
        flood.socket.setblocking(False)
        poured = 0
        for _ in range(50):
            for _ in range(20):
                try:
                    poured += flood.socket.send(b"\x00" * 65536)
                except BlockingIOError:
                    break
            self.send_and_read(good)
        self.assertGreater(poured, 0)
        flood.socket.setblocking(True)
        flood.socket.settimeout(LIMIT_S)
        self.assertEqual(flood.read(len(self.telegram)), self.telegram)

    def test_a_hundred_come_and_go(self):
        self.begin(options=",format=received")
        good = self.connect()
        fds = pathlib.Path(f"/proc/{self.daemon.pid}/fd")

        def count():
            return len(list(fds.iterdir()))
        before = count()
        for number in range(100):
            client = Client(self, ("127.0.0.1", self.port))
            if number % 3 == 0:  # a reset instead of an end
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         b"\x01\x00\x00\x00\x00\x00\x00\x00")
            client.socket.close()
            if number % 10 == 0:
                self.send_and_read(good)
        wait_for("all of them to be gone", lambda: count() <= before)
        self.send_and_read(good)


class Listening(Export):
    def test_an_address_that_is_taken_is_said_and_comes_free(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", self.port))
            other.listen()
            self.start_daemon("--io", IO, "--export", f"127.0.0.1:{self.port},format=received",
                              mqtt=False, bus=False)
            wait_for("the error", lambda: "another program listens there" in self.log_text())
        wait_for("the export", lambda: "listening on" in self.log_text())
        self.assertEqual(self.log_text().count("another program listens there"), 1)

    def test_everybody_is_warned_of(self):
        self.begin(f"0.0.0.0:{self.port}")
        wait_for("the warning", lambda: "whoever reaches 0.0.0.0" in self.log_text())

    def test_a_name_is_refused(self):
        self.start_daemon("--io", IO, "--export", "somewhere.example:1502", mqtt=False, bus=False)
        wait_for("the error", lambda: "expected the number of an address" in self.log_text())

    def test_reload(self):
        """Tables come and go; a server that stays keeps its clients."""
        other = free_port()
        table = ('[export.{}]\nlisten = "127.0.0.1:{}"\nformat = "received"\n').format
        self.config.write_text('[gateway]\ninstance = "test"\n' + table("one", self.port))
        self.begin("none")
        wait_for("the export", lambda: "listening on" in self.log_text())
        client = self.connect()
        self.config.write_text('[gateway]\ninstance = "test"\n' + table("one", self.port) +
                               table("two", other))
        self.daemon.send_signal(signal.SIGHUP)
        wait_for("the second", lambda: self.log_text().count("listening on") == 2)
        second = self.connect(("127.0.0.1", other))
        telegram = dutch_p1()
        self.feed(telegram)
        for each in (client, second):
            self.assertEqual(each.read(len(telegram)), telegram)
        self.config.write_text('[gateway]\ninstance = "test"\n' + table("three", other))
        self.daemon.send_signal(signal.SIGHUP)
        wait_for("the end of the first", client.is_closed)
        wait_for("the third", lambda: self.log_text().count("listening on") == 3)
        third = self.connect(("127.0.0.1", other))
        self.feed(telegram)
        self.assertEqual(third.read(len(telegram)), telegram)


@unittest.skipUnless(shutil.which("systemd-socket-activate"), "no systemd-socket-activate")
class SocketActivation(Export):
    """The sockets are systemd's: the daemon binds nothing."""

    def activate(self, *sockets, config=""):
        """(FileDescriptorName, port) of each; the first client starts the daemon."""
        self.config.write_text('[gateway]\ninstance = "test"\n' + config)
        self.begin_activated = ["systemd-socket-activate",
                                *[f"--listen=127.0.0.1:{port}" for _, port in sockets],
                                "--fdname=" + ":".join(name for name, _ in sockets)]
        self.start_daemon("--io", IO, mqtt=False, bus=False, wrap=self.begin_activated)
        wait_for("the sockets", lambda: "Listening on" in self.log_text())

    def test_the_name_tells_the_format(self):
        other = free_port()
        self.activate(("dsmr5", self.port), ("received", other))
        synthetic = Client(self, ("127.0.0.1", self.port))  # starts it
        self.wait_opened()
        received = self.connect(("127.0.0.1", other))
        wait_for("both clients", lambda: self.log_text().count(" connected") == 2)
        telegram = dutch_p1()
        self.feed(telegram)
        self.assertEqual(received.read(len(telegram)), telegram)
        self.assertTrue(synthetic.read_telegram().startswith(b"/SMD5"))
        self.daemon.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: "read again" in self.log_text())
        self.feed(telegram)
        self.assertEqual(received.read(len(telegram)), telegram)
        self.assertTrue(synthetic.read_telegram().startswith(b"/SMD5"))

    def test_a_table_of_the_same_address_has_its_say(self):
        self.activate(("dsmr5", self.port),
                      config=f'[export.mine]\nlisten = "127.0.0.1:{self.port}"\n'
                             'format = "received"\nmeter = "E0044007123456789"\n')
        client = Client(self, ("127.0.0.1", self.port))
        self.wait_opened()
        wait_for("the client", lambda: "export mine" in self.log_text() and
                 " connected" in self.log_text())
        telegram = dutch_p1()
        self.feed(telegram)
        self.assertEqual(client.read(len(telegram)), telegram)


if __name__ == "__main__":
    tap.main()
